"""What Dagster needs besides definitions: instance, I/O managers, resources, partitions, and runs in this process."""
