"""The types of values of expressions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .geometry import Geometry
from .grids import WGS84, Grid, Projection
from .pixels import TRUE, RenderContext, Tile, TileFunction
from .pixeltypes import DOUBLE, PixelType
from .replies import ApiError

Properties = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ImageBand:
    """One band: `compute_tile` gives its pixels on any grid; `grid` is its stored extent, None if it has none."""

    name: str
    type: PixelType
    projection: Projection
    compute_tile: TileFunction
    grid: Grid | None = None

    def tile(self, render: RenderContext, grid: Grid) -> Tile:
        return render.tile(self.compute_tile, grid)

    def derive(self, compute_tile: TileFunction, kind: PixelType | None = None, name: str | None = None) -> "ImageBand":
        """The band with other pixels, and with another type and name if given."""
        return replace(
            self, compute_tile=compute_tile, type=kind or self.type, name=self.name if name is None else name
        )


@dataclass(frozen=True, eq=False)
class Element:
    """An image or a feature: properties and a footprint. A footprint of None is unbounded."""

    properties: Properties = field(default_factory=dict)
    footprint: Geometry | None = None

    def get(self, name: str) -> Any:
        """A property, None if there is none; `.all` and `.geo` name the geometry."""
        if name in (".all", ".geo"):
            return self.footprint
        return self.properties.get(name)


@dataclass(frozen=True, eq=False)
class Feature(Element):
    """A feature; `footprint` is its geometry."""


@dataclass(frozen=True, eq=False)
class Image(Element):
    """An image; `id` and `version` are those of its asset, None for a computed image."""

    bands: tuple[ImageBand, ...] = ()
    id: str | None = None
    version: int | None = None

    @property
    def names(self) -> list[str]:
        return [band.name for band in self.bands]

    @property
    def band_list(self) -> str:
        return ", ".join(self.names)

    def get(self, name: str) -> Any:
        """A property; `system:band_names` is the list of band names."""
        return self.names if name == "system:band_names" else super().get(name)

    def with_bands(self, bands: Sequence[ImageBand]) -> "Image":
        """The image with other bands, the same metadata, and no asset id."""
        return replace(self, bands=tuple(bands), id=None, version=None)

    def without_properties(self, bands: Sequence[ImageBand]) -> "Image":
        """An image of other bands with the footprint but without properties, as arithmetic returns it."""
        return Image(bands=tuple(bands), footprint=self.footprint)


@dataclass(frozen=True, eq=False)
class ElementCollection:
    """Images or features in order; `images` is True for an image collection."""

    elements: tuple[Element, ...]
    images: bool

    def with_elements(self, elements: Sequence[Element]) -> "ElementCollection":
        return replace(self, elements=tuple(elements))


@dataclass(frozen=True)
class Date:
    """A time, in milliseconds since 1970-01-01 UTC."""

    millis: int


@dataclass(frozen=True)
class DateRange:
    """From `start`, inclusive, to `end`, exclusive, in milliseconds since 1970-01-01 UTC."""

    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Filter:
    """A filter; `test` takes an element and, in a join, the element it is compared with."""

    test: Callable[[Element, Element | None], bool]


@dataclass(frozen=True)
class Join:
    """A join that saves the first match of each element as property `key`."""

    key: str


@dataclass(frozen=True)
class Reducer:
    """A reducer: its output, `first` or `list`, and its number of inputs if it is repeated."""

    output: str
    inputs: int | None = None


@dataclass(frozen=True, eq=False)
class Function:
    """A function defined in the expression."""

    call: Callable[..., Any]


def constant(value: float, name: str = "constant") -> ImageBand:
    """A band with one value everywhere, of integer type if the value is integral."""
    number: float = int(value) if float(value).is_integer() else float(value)
    kind = PixelType("int", number, number) if isinstance(number, int) else DOUBLE
    tile = Tile(np.array(number), TRUE)
    return ImageBand(name, kind, WGS84, lambda render, grid: tile)


def number_image(value: Any) -> Image:
    """A constant image of a number, or of one band for each number of a list; ApiError for anything else."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(part, int | float) for part in values):
        raise ApiError(f"Image.constant: {value!r} is neither a number nor a list of numbers.")
    if not isinstance(value, list):
        return Image(bands=(constant(value),))
    names = ["constant", *(f"constant_{index}" for index in range(1, len(values)))]
    return Image(bands=tuple(constant(part, name) for part, name in zip(values, names, strict=True)))
