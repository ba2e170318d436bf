"""Values as JSON, as `value:compute` and so getInfo return them."""

import math
from collections.abc import Mapping
from typing import Any

from .coercion import type_name
from .geometry import Geometry
from .grids import Grid, Projection
from .replies import unsupported
from .values import Date, Image, ImageBand


def describe(value: Any) -> Any:
    """A value as JSON; ApiError for types that getInfo does not support."""
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
    raise unsupported(f"getInfo() of a value of type {type_name(value)}")


def _image(image: Image) -> dict[str, Any]:
    description: dict[str, Any] = {"type": "Image", "bands": [_band(band) for band in image.bands]}
    if image.id is not None:
        description |= {"id": image.id, "version": image.version}
    if image.properties:
        description["properties"] = describe(
            {name: value for name, value in image.properties.items() if value is not None}
        )
    return description


def _band(band: ImageBand) -> dict[str, Any]:
    """Name, type, extent and projection of a band."""
    description: dict[str, Any] = {"id": band.name, "data_type": band.type.describe()}
    if band.grid is not None:
        description["dimensions"] = [band.grid.shape[1], band.grid.shape[0]]
    lattice = _lattice(band.grid or band.projection)
    return description | {"crs": lattice["crs"], "crs_transform": lattice["transform"]}


def _lattice(lattice: Grid | Projection) -> dict[str, Any]:
    parts = [int(part) if float(part).is_integer() else part for part in lattice.transform]
    return {"crs": lattice.crs, "transform": parts}
