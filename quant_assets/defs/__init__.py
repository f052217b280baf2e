"""The Dagster layer: assets by stage, checks, jobs, schedules, sensors, resources, I/O managers, partitions."""

import warnings

import dagster as dg

# Backfill policies and code references are called beta, checks by window a preview; they are used knowingly, and the
# lock holds the version.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
