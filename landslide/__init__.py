"""From an event, a place and a date, to a landslide map."""

__version__ = "0.1.0"
