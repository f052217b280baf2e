"""The Dagster layer: assets by stage, checks, jobs, schedules, sensors, resources, I/O managers, partitions."""

import gc
import warnings

import dagster as dg

# Set before the rest is imported. A run lives for seconds, and makes few cycles among many objects.
gc.set_threshold(200_000, 50, 1_000)

# Backfill policies and code references are called beta; they are used knowingly, and the lock holds the version.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
