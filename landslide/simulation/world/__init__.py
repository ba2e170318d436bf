"""A synthetic world: terrain, land cover, Sentinel-1/2 scenes, landslides and changes that resemble them."""

from .changes import GroundTruth
from .world import World, simulate_world

__all__ = ["GroundTruth", "World", "simulate_world"]
