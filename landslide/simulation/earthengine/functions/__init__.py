"""The supported functions of Earth Engine. Importing this package registers them."""

from . import (
    arithmetic,
    bands,
    collections,
    composites,
    features,
    filters,
    masks,
    neighbourhood,
    projecting,
    visualising,
)

__all__ = [
    "arithmetic", "bands", "collections", "composites", "features", "filters", "masks", "neighbourhood", "projecting",
    "visualising",
]  # fmt: skip
