"""Fixtures of a loopback Earth Engine."""

from tests.helpers.earthengine import connected, nobody_signed_in, service, world

__all__ = ["connected", "nobody_signed_in", "service", "world"]
