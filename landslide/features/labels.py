"""Inventories of mapped landslides, and their polygons rasterised on a stack's grid."""

import re
import zipfile
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError
from rasterio.features import rasterize

from landslide.cases.case import Case, Inventory
from landslide.errors import InventoryError
from landslide.geo.grid import Roi

LANDSLIDE, IGNORE = 1, 255
UNREADABLE = (DataSourceError, DataLayerError, FeatureError, GeometryError)
POLYGONAL, COLLECTION, NO_AREA = (3, 6), 7, (0, 1, 2, 4, 5)  # shapely's geometry type ids
VECTOR_IN_ZIP = re.compile(r"^(.*?\.gdb|.*\.(?:gpkg|shp|geojson|json|fgb|kml))(?:/|$)", re.IGNORECASE)
Geometries = NDArray[np.object_]


@dataclass(frozen=True)
class Outlines:
    """The polygons of a case, in pixel coordinates (column, row) of its grid.

    `landslides` are labelled as landslide, `ambiguous` are ignored. `tiny` holds the (row, column) of one pixel in each
    landslide that covers no pixel centre. `ring` is the width, in pixels, of the ignored ring around landslides.
    `counts` is the number of polygons: `polygons` in the inventory, `empty` (no geometry), `outside_area`, `repaired`,
    `other_date`, `ambiguous`, `undated`, `used` and `tiny`.
    """

    counts: dict[str, int]
    landslides: Geometries = field(repr=False)
    ambiguous: Geometries = field(repr=False)
    tiny: NDArray[np.int64] = field(repr=False)
    ring: float = 0.0

    def burn(self, roi: Roi) -> NDArray[np.uint8]:
        """Labels at row and column slices, uint8 (y, x): 1 landslide, 0 not, 255 ignored (ambiguous, or in the ring).

        A polygon covers the pixels whose centre it contains; one that contains no centre gets the pixel of a point in
        it. Where polygons overlap, landslide takes precedence. Values do not depend on how the grid is split into
        blocks.
        """
        rows, columns = roi
        label = np.zeros((rows.stop - rows.start, columns.stop - columns.start), "uint8")
        near = _near(self.landslides, roi, self.ring)
        if self.ring > 0:
            _rasterize(shapely.buffer(near, self.ring), roi, IGNORE, label)
        _rasterize(_near(self.ambiguous, roi), roi, IGNORE, label)
        _rasterize(near, roi, LANDSLIDE, label)
        inside = (self.tiny >= (rows.start, columns.start)) & (self.tiny < (rows.stop, columns.stop))
        row, column = (self.tiny[inside.all(1)] - (rows.start, columns.start)).T
        label[row, column] = LANDSLIDE
        return label

    def on_grid(self, geobox: GeoBox) -> Geometries:
        """The landslide polygons in the coordinates of the grid's CRS."""
        affine = geobox.affine
        return shapely.transform(self.landslides, lambda xy: xy * (affine.a, affine.e) + (affine.c, affine.f))  # type: ignore[no-any-return]


def read_inventory(case: Case, geobox: GeoBox) -> Outlines:
    """Read the case's inventory and place it on its grid.

    The file may be of any format that GDAL reads, also inside a zip, and in any CRS. Invalid polygons are repaired.
    With `date_field`, polygons are sorted by date (ISO 8601, 20170920 or 2017/09/20):

    - from the event's day to the end of the post window, or without a readable date: landslides;
    - from the first day of the pre window (of its first year, if it has several) to the day before the event:
      ambiguous, because they show as change too;
    - any other date: dropped.

    Raises:
        InventoryError: The file, layer, date field or CRS is missing, geometries have no area, or no polygon of the
            event lies on the grid. The message names the path and the next action.
    """
    inventory = case.inventory
    if inventory is None or geobox.crs is None:
        raise InventoryError(f"case {case.id} has no inventory or no georeferenced grid. Add `inventory:` or a CRS")
    frame = _frame(inventory)
    shapes, rows, counts = _in_area(frame, geobox, inventory.path)
    event = during = np.zeros(len(shapes), bool)
    if inventory.date_field is None:
        event = ~event
    else:
        days = [_day(value) for value in frame[inventory.date_field].iloc[rows]]
        event, during = _dated(days, case)
        counts |= {"undated": days.count(None), "other_date": int((~event & ~during).sum())}
    if not event.any():
        raise InventoryError(
            f"{inventory.path}: no polygon has a date of case {case.id} ({counts}). Check `date_field`"
        )
    counts |= {"ambiguous": int(during.sum()), "used": int(event.sum())}
    tiny = _tiny(shapes[event])
    counts["tiny"] = len(tiny)
    return Outlines(counts, shapes[event], shapes[during], tiny, inventory.ring / abs(geobox.resolution.x))


def _frame(inventory: Inventory) -> geopandas.GeoDataFrame:
    """The polygons of the inventory's layer, in the CRS of the file."""
    path = _gdal_path(inventory.path)
    try:
        layer = _layer(path, inventory)
        fields = list(pyogrio.read_info(path, layer=layer)["fields"])
        if inventory.date_field is not None and inventory.date_field not in fields:
            raise InventoryError(
                f"{inventory.path} has no field {inventory.date_field!r}; it has {fields}. Correct `date_field`"
            )
        columns = [] if inventory.date_field is None else [inventory.date_field]
        frame = pyogrio.read_dataframe(path, layer=layer, columns=columns, datetime_as_string=True)
    except UNREADABLE as error:
        raise InventoryError(f"cannot read the inventory {inventory.path}: {error}. Check the path and file") from error
    _check(frame, inventory.path)
    return frame


def _gdal_path(path: str) -> str:
    """The path in GDAL's notation; for a zip, the only vector dataset in it."""
    if not path.lower().endswith(".zip") or not Path(path).is_file():
        return path
    try:
        with zipfile.ZipFile(path) as archive:
            datasets = sorted({match[1] for match in map(VECTOR_IN_ZIP.match, archive.namelist()) if match})
    except zipfile.BadZipFile as error:
        raise InventoryError(
            f"cannot read the zip {path} ({error}). Download it again, or unpack it and name the file"
        ) from error
    if len(datasets) != 1:
        raise InventoryError(f"{path} contains {datasets or 'no vector file'}, not one. Unpack it and name the file")
    return f"/vsizip/{path}/{datasets[0]}"


def _layer(path: str, inventory: Inventory) -> str:
    """The layer that the case names, or the only one of polygons."""
    layers = dict(pyogrio.list_layers(path))
    spatial = [str(name) for name, kind in layers.items() if kind is not None]
    if inventory.layer is not None:
        if inventory.layer in spatial:
            return inventory.layer
        raise InventoryError(
            f"{inventory.path} has no layer {inventory.layer!r} of geometries; it has {spatial}. Correct `layer`"
        )
    candidates = [name for name in spatial if "Polygon" in layers[name]] if len(spatial) > 1 else spatial
    if len(candidates) != 1:
        raise InventoryError(f"{inventory.path} has the layers {spatial}. Name one of polygons with `layer`")
    return candidates[0]


def _check(frame: geopandas.GeoDataFrame, path: str) -> None:
    """Raise InventoryError if the layer is empty, has no CRS, or has geometries without an area."""
    if len(frame) == 0:
        raise InventoryError(f"{path} has no polygon. Add polygons, or map the case without an inventory")
    if frame.crs is None:
        raise InventoryError(f"{path} has no CRS. Write the CRS of its coordinates into the file")
    count = int(np.isin(shapely.get_type_id(np.asarray(frame.geometry)), NO_AREA).sum())
    if count:
        raise InventoryError(f"{path} has {count} points or lines, which have no area. Buffer them first")


def _in_area(
    frame: geopandas.GeoDataFrame, geobox: GeoBox, path: str
) -> tuple[Geometries, NDArray[np.intp], dict[str, int]]:
    """Valid polygons that intersect the grid, in its pixel coordinates; their rows in the frame; and counts."""
    shapes: Geometries = frame.geometry.to_crs(str(geobox.crs)).to_numpy()
    height, width = geobox.shape
    affine = geobox.affine
    grid = shapely.box(0, 0, width, height)
    empty = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    rows = np.flatnonzero(_bounds_intersect(shapely.bounds(shapes), *geobox.boundingbox.bbox))
    shapes = shapely.transform(shapes[rows], lambda xy: (xy - (affine.c, affine.f)) / (affine.a, affine.e))
    invalid = ~shapely.is_valid(shapes)
    mixed = invalid | (shapely.get_type_id(shapes) == COLLECTION)
    shapes[mixed] = _repaired(shapes[mixed])
    within = shapely.intersects(shapes, grid) & (shapely.area(shapes) > 0)
    counts = {
        "polygons": len(frame),
        "empty": int(empty.sum()),
        "outside_area": int(len(frame) - empty.sum() - within.sum()),
        "repaired": int((invalid & within).sum()),
    }
    if not within.any():
        raise InventoryError(
            f"{path}: none of its {len(frame)} polygons lies in the area ({_extent(frame)}; the grid covers "
            f"{tuple(round(side) for side in geobox.boundingbox.bbox)} in {geobox.crs}). Check the file and the area"
        )
    return shapes[within], rows[within], counts


def _extent(frame: geopandas.GeoDataFrame) -> str:
    return f"{tuple(float(round(side, 4)) for side in frame.total_bounds)} in {frame.crs.to_string()[:40]}"


def _repaired(shapes: Geometries) -> Geometries:
    """Make geometries valid and keep the polygons of each."""
    valid = shapely.make_valid(shapes, method="structure", keep_collapsed=False)
    parts = [[part for part in shapely.get_parts(shape) if shapely.get_type_id(part) in POLYGONAL] for shape in valid]
    return np.array([shapely.union_all(polygons) for polygons in parts], object)


def _day(value: Any) -> date | None:
    """The day of an ISO 8601 date (dashes, slashes or none, with or without a time); None if it cannot be parsed."""
    text = str(int(value)) if isinstance(value, (float, np.floating)) and np.isfinite(value) else str(value)
    try:
        return datetime.fromisoformat(text.strip().replace("/", "-")).date()
    except ValueError:
        return None


def _dated(days: list[date | None], case: Case) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks of the polygons of the event, and of those dated from the start of the pre window to the day before it."""
    pre, post = case.window("pre"), case.window("post")
    if case.event_date is None or pre is None or post is None:
        raise InventoryError(f"case {case.id}: `date_field` needs an event_date. Add it, or leave `date_field` out")
    event = [day is None or case.event_date <= day <= post[1] for day in days]
    during = [day is not None and pre[0] <= day < case.event_date for day in days]
    return np.array(event, bool), np.array(during, bool)


def _tiny(shapes: Geometries) -> NDArray[np.int64]:
    """(n, 2) row and column of a point in each polygon that covers no pixel centre."""
    small = [shape for shape in shapes if shapely.area(shape) < 100 and not _covers_centre(shape)]
    points = [shape.representative_point() for shape in small]
    return np.array([(np.floor(point.y), np.floor(point.x)) for point in points], "int64").reshape(-1, 2)


def _covers_centre(shape: shapely.Geometry) -> bool:
    left, top, right, bottom = shapely.bounds(shape)
    rows, columns = slice(int(top // 1), int(bottom // 1) + 1), slice(int(left // 1), int(right // 1) + 1)
    label = np.zeros((rows.stop - rows.start, columns.stop - columns.start), "uint8")
    _rasterize(np.array([shape], object), (rows, columns), LANDSLIDE, label)
    return bool(label.any())


def _near(shapes: Geometries, roi: Roi, ring: float = 0.0) -> Geometries:
    rows, columns = roi
    box = (columns.start - ring, rows.start - ring, columns.stop + ring, rows.stop + ring)
    return shapes[_bounds_intersect(shapely.bounds(shapes), *box)]


def _bounds_intersect(
    bounds: NDArray[np.float64], left: float, low: float, right: float, high: float
) -> NDArray[np.bool_]:
    """Which bounds (n, 4) intersect a box; False for those that are not finite."""
    x0, y0, x1, y1 = bounds.T
    intersects: NDArray[np.bool_] = (x1 >= left) & (x0 <= right) & (y1 >= low) & (y0 <= high)
    return intersects & np.isfinite(bounds).all(1)


def _rasterize(shapes: Geometries, roi: Roi, value: int, label: NDArray[np.uint8]) -> None:
    """Write a value to the pixels of a block whose centre lies in one of the shapes, in place."""
    if len(shapes):
        offset = Affine.translation(roi[1].start, roi[0].start)
        rasterize(shapes, out=label, transform=offset, default_value=value)
