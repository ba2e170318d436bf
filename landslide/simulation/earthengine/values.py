"""What expressions evaluate to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .geometry import Geometry
from .grids import WGS84, Grid, Projection
from .pixels import TRUE, Pull, Render, Tile
from .pixeltypes import DOUBLE, PixelType
from .replies import ApiError

Properties = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Band:
    """One band: `pull` gives its pixels on any grid; `grid` is the extent it was stored on, where it has one."""

    name: str
    type: PixelType
    projection: Projection
    pull: Pull
    grid: Grid | None = None

    def on(self, render: Render, grid: Grid) -> Tile:
        return render.tile(self.pull, grid)

    def computed(self, pull: Pull, kind: PixelType | None = None, name: str | None = None) -> "Band":
        """The band with other pixels, and another type and name if given."""
        return replace(self, pull=pull, type=kind or self.type, name=self.name if name is None else name)


@dataclass(frozen=True, eq=False)
class Element:
    """Properties and a place: images and features."""

    properties: Properties = field(default_factory=dict)
    footprint: Geometry | None = None

    def get(self, name: str) -> Any:
        """A property, None if there is none; `.all` and `.geo` are the geometry."""
        if name in (".all", ".geo"):
            return self.footprint
        return self.properties.get(name)


@dataclass(frozen=True, eq=False)
class Feature(Element):
    """A feature; its geometry is its footprint."""


@dataclass(frozen=True, eq=False)
class Image(Element):
    """Bands; a footprint of None is boundless. `id` and `version` are those of an asset."""

    bands: tuple[Band, ...] = ()
    id: str | None = None
    version: int | None = None

    @property
    def names(self) -> list[str]:
        return [band.name for band in self.bands]

    @property
    def listed(self) -> str:
        return ", ".join(self.names)

    def get(self, name: str) -> Any:
        """A property; `system:band_names` are the bands' names."""
        return self.names if name == "system:band_names" else super().get(name)

    def with_bands(self, bands: Sequence[Band]) -> "Image":
        """The image with other bands and all its metadata; it is no asset any more."""
        return replace(self, bands=tuple(bands), id=None, version=None)

    def bare(self, bands: Sequence[Band]) -> "Image":
        """Other bands with the footprint but without the properties, as arithmetic leaves them."""
        return Image(bands=tuple(bands), footprint=self.footprint)


@dataclass(frozen=True, eq=False)
class Collection:
    """Images or features in order."""

    elements: tuple[Element, ...]
    images: bool

    def of(self, elements: Sequence[Element]) -> "Collection":
        return replace(self, elements=tuple(elements))


@dataclass(frozen=True)
class Date:
    """A moment, in milliseconds since 1970."""

    millis: int


@dataclass(frozen=True)
class DateRange:
    """From `start` on and before `end`, in milliseconds since 1970."""

    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Filter:
    """`test` gets an element and, in a join, the element it is compared with."""

    test: Callable[[Element, Element | None], bool]


@dataclass(frozen=True)
class Join:
    """A join that saves each element's first match under `key`."""

    key: str


@dataclass(frozen=True)
class Reducer:
    """Its output, `first` or `list`, and of how many inputs if it is repeated."""

    output: str
    inputs: int | None = None


@dataclass(frozen=True, eq=False)
class Function:
    """A function of the expression's own."""

    call: Callable[..., Any]


def constant(value: float, name: str = "constant") -> Band:
    """A band of one value everywhere; integral numbers are integers."""
    number: float = int(value) if float(value).is_integer() else float(value)
    kind = PixelType("int", number, number) if isinstance(number, int) else DOUBLE
    tile = Tile(np.array(number), TRUE)
    return Band(name, kind, WGS84, lambda render, grid: tile)


def number_image(value: Any) -> Image:
    """A number or a list of numbers as an image of constants; ApiError for anything else."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(part, int | float) for part in values):
        raise ApiError(f"Image.constant: {value!r} is neither a number nor a list of numbers.")
    if not isinstance(value, list):
        return Image(bands=(constant(value),))
    names = ["constant", *(f"constant_{index}" for index in range(1, len(values)))]
    return Image(bands=tuple(constant(part, name) for part, name in zip(values, names, strict=True)))
