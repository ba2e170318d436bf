"""Prefect tasks, one file a stage: references in, references out. The work itself lies in `landslide`."""
