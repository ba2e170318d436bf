"""Prefect flows and the command line: which stage runs on what, in which order."""
