"""All functions: importing this module registers them."""

from . import (
    arithmetic,
    bands,
    collections,
    composites,
    dates,
    drawing,
    elements,
    filters,
    geometries,
    lists,
    masks,
    neighbourhood,
    parsing,
    projecting,
    reducers,
    regions,
    terrain,
    visualising,
)

__all__ = [
    "arithmetic", "bands", "collections", "composites", "dates", "drawing", "elements", "filters", "geometries",
    "lists", "masks", "neighbourhood", "parsing", "projecting", "reducers", "regions", "terrain", "visualising",
]  # fmt: skip
