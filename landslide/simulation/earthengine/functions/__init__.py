"""The functions of Google's that are imitated: importing this package registers them."""

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
