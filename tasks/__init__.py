"""Prefect tasks, one file per stage. They pass references to artifacts; the work is in `landslide`."""
