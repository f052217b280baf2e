"""Dagster's definitions, one module or package for each stage: its assets, checks, jobs, schedules and sensors.

`quant_assets.definitions` calls `build(project)` of each module here and merges the results.
"""

import warnings

import dagster as dg

# Backfill policies and code references are beta, and partitioned checks a preview. requirements.lock pins the version.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
