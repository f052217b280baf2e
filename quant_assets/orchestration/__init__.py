"""What Dagster needs besides definitions: instance, I/O managers, resources, partitions, running a scan."""
