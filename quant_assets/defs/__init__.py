"""The Dagster layer: assets by stage, checks, jobs, resources, I/O managers, partitions."""
