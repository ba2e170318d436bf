"""Values as `value:compute` tells them: what getInfo returns."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .errors import ApiError
from .geometry import Geometry
from .grids import Grid, Projection
from .pixeltypes import PixelType
from .values import Band, Collection, Date, DateRange, Feature, Image

MOST_ELEMENTS = 5000


def describe(value: Any) -> Any:
    """JSON of a value; ApiError for values that have none."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic):
        return describe(value.item())
    if isinstance(value, list | tuple):
        return [describe(part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): describe(part) for key, part in value.items()}
    if isinstance(value, PixelType | Geometry):
        return value.describe()
    tell = TOLD.get(type(value))
    return {"type": type(value).__name__} if tell is None else tell(value)


def _image(image: Image) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "Image", "bands": [describe_band(band) for band in image.bands]}
    if image.id is not None:
        told |= {"id": image.id, "version": image.version}
    if image.properties:
        told["properties"] = describe(_known(image.properties))
    return told


def describe_band(band: Band) -> dict[str, Any]:
    """A band's name, type, extent and projection."""
    told: dict[str, Any] = {"id": band.name, "data_type": band.type.describe()}
    grid: Grid | Projection = band.projection
    if band.grid is not None:
        told["dimensions"] = [band.grid.shape[1], band.grid.shape[0]]
        grid = band.grid
    return told | {"crs": grid.crs, "crs_transform": [_plain(part) for part in grid.transform]}


def _feature(feature: Feature) -> dict[str, Any]:
    properties = _known(feature.properties)
    index = properties.pop("system:index", None)
    told: dict[str, Any] = {
        "type": "Feature",
        "geometry": None if feature.footprint is None else feature.footprint.describe(),
        "properties": describe(properties),
    }
    return told if index is None else {**told, "id": index}


def _collection(collection: Collection) -> dict[str, Any]:
    if len(collection.elements) > MOST_ELEMENTS:
        raise ApiError(f"Collection query aborted after accumulating over {MOST_ELEMENTS} elements.")
    elements = [describe(element) for element in collection.elements]
    if not collection.images:
        return {"type": "FeatureCollection", "columns": {}, "features": elements}
    told: dict[str, Any] = {"type": "ImageCollection", "bands": [], "features": elements}
    if collection.id is not None:
        told |= {"id": collection.id, "version": collection.version}
    return told | ({"properties": describe(collection.properties)} if collection.properties else {})


TOLD: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    Image: _image,
    Feature: _feature,
    Collection: _collection,
    Projection: lambda value: {
        "type": "Projection", "crs": value.crs, "transform": [_plain(part) for part in value.transform]
    },
    Date: lambda value: {"type": "Date", "value": value.millis},
    DateRange: lambda value: {"type": "DateRange", "dates": [value.start, value.end]},
}  # fmt: skip


def _known(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value is not None}


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else value
