"""Values as `value:compute` tells them: what getInfo returns."""

import math
from collections.abc import Mapping
from typing import Any

from .coercion import type_name
from .geometry import Geometry
from .grids import Grid, Projection
from .replies import not_imitated
from .values import Band, Date, Image


def describe(value: Any) -> Any:
    """JSON of a value; ApiError for values of which none is told."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [describe(part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): describe(part) for key, part in value.items()}
    if isinstance(value, Geometry):
        return value.describe()
    if isinstance(value, Image):
        return _image(value)
    if isinstance(value, Projection):
        return {"type": "Projection", **_lattice(value)}
    if isinstance(value, Date):
        return {"type": "Date", "value": value.millis}
    raise not_imitated(f"getInfo() of a value of type {type_name(value)}")


def _image(image: Image) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "Image", "bands": [_band(band) for band in image.bands]}
    if image.id is not None:
        told |= {"id": image.id, "version": image.version}
    if image.properties:
        told["properties"] = describe({name: value for name, value in image.properties.items() if value is not None})
    return told


def _band(band: Band) -> dict[str, Any]:
    """A band's name, type, extent and projection."""
    told: dict[str, Any] = {"id": band.name, "data_type": band.type.describe()}
    if band.grid is not None:
        told["dimensions"] = [band.grid.shape[1], band.grid.shape[0]]
    lattice = _lattice(band.grid or band.projection)
    return told | {"crs": lattice["crs"], "crs_transform": lattice["transform"]}


def _lattice(lattice: Grid | Projection) -> dict[str, Any]:
    parts = [int(part) if float(part).is_integer() else part for part in lattice.transform]
    return {"crs": lattice.crs, "transform": parts}
