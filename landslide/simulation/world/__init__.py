"""A synthetic world to develop and demonstrate on: terrain, cover, satellites, landslides and what is mistaken for
them."""

from .changes import Truth
from .world import World, simulate_world

__all__ = ["Truth", "World", "simulate_world"]
