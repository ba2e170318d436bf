"""Landslides as polygons: the thresholded map is polygonised as a whole, so that windows leave no seams.

The mask is a scratch file that GDAL reads row by row; the statistics of each landslide are computed block by block.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from pyproj import Geod, Transformer
from rasterio.features import rasterize, shapes
from shapely.geometry.polygon import orient

from landslide.geo.grid import blocks
from landslide.geo.raster import BLOCK_SIDE, Reader, window_of
from landslide.mapping.summary import PART

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from shapely import MultiPolygon

    from landslide.datasets.stack import Stack
    from landslide.ensembles.confidence import ConfidenceThresholds

WGS84 = Geod(ellps="WGS84")
CONNECTIVITY = 8  # neighbours: pixels that touch at a corner are one landslide
COLUMNS = ("area_m2", "probability_mean", "probability_max", "spread_mean", "slope_mean_deg", "elevation_mean_m")
TERRAIN = {"slope": "slope_mean_deg", "elevation": "elevation_mean_m"}


def landslides(
    stack: Stack,
    probability: Path,
    threshold: float,
    minimum_area_m2: float,
    classes: ConfidenceThresholds | None = None,
) -> gpd.GeoDataFrame:
    """The landslides of a map, largest first, in the CRS of the stack.

    A landslide is an 8-connected patch of pixels with probability > threshold. Holes are kept.

    Args:
        stack: Where slope and elevation come from.
        probability: The map, with the bands `probability` and `spread`.
        threshold: Of probability.
        minimum_area_m2: The minimum mapping unit: smaller patches, by geodesic area, are left out.
        classes: The confidence classes; None where the ensemble has none.

    Returns:
        `id` from 1, `COLUMNS` (float64, NaN = unknown), `confidence` (high, medium, low, or None without classes), and
        MultiPolygons.
    """
    with Reader(probability) as reader:
        grid = reader.geobox
        polygons = list(outlines(reader, threshold, minimum_area_m2, probability.parent))
    polygons.sort(key=lambda item: (-item[1], *item[0].bounds))
    frame = gpd.GeoDataFrame(
        {"id": np.arange(1, len(polygons) + 1, dtype="int32"), "area_m2": [area for _, area in polygons]},
        geometry=[outline for outline, _ in polygons],
        crs=str(grid.crs),
    ).astype({"area_m2": "float64"})
    statistics = zonal_statistics(stack, probability, frame.geometry.values, grid)
    confidence = np.full(len(frame), None)
    if classes is not None:
        confidence = classes.classify(statistics["probability_mean"]).astype(object)
    frame = frame.assign(confidence=confidence, **{name: statistics[name] for name in COLUMNS[1:]})
    return frame[["id", *COLUMNS, "confidence", "geometry"]]


def outlines(
    reader: Reader, threshold: float, minimum_area_m2: float, scratch: Path
) -> Iterator[tuple[MultiPolygon, float]]:
    """Valid outlines of the patches above the threshold with their geodesic areas in m², in any order."""
    grid = reader.geobox
    to_degrees = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".mask-") as folder:
        path = Path(folder) / "mask.tif"
        _write_mask(reader, threshold, path)
        with rasterio.open(path) as mask:
            band = rasterio.band(mask, 1)
            for outline, _ in shapes(band, mask=band, connectivity=CONNECTIVITY, transform=mask.transform):
                polygon = valid(shapely.geometry.shape(outline))
                size = geodesic_area(polygon, to_degrees)
                if size >= minimum_area_m2:
                    yield polygon, size


def _write_mask(reader: Reader, threshold: float, path: Path) -> None:
    height, width = reader.shape
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8", "tiled": True,
        "blockxsize": BLOCK_SIDE, "blockysize": BLOCK_SIDE, "compress": "ZSTD", "transform": reader.geobox.affine,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as mask:
        for roi in blocks(reader.shape, BLOCK_SIDE):
            above = reader.read(["probability"], roi) > threshold  # NaN, not observed, is not above
            mask.write(above.astype("uint8"), window=window_of(roi))


def valid(polygon: shapely.Polygon) -> MultiPolygon:
    """The same area as valid polygons: rings of an 8-connected patch may touch themselves at pixel corners."""
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(polygon)))  # twice: a collection of collections
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])


def geodesic_area(polygon: MultiPolygon, to_degrees: Transformer) -> float:
    """Area on the WGS 84 ellipsoid in m² (Karney 2013), whatever the scale of the polygon's projection."""
    placed = shapely.transform(polygon, lambda xy: np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1])))
    return float(sum(WGS84.geometry_area_perimeter(orient(part))[0] for part in placed.geoms))


def zonal_statistics(stack: Stack, probability: Path, polygons: Any, grid: GeoBox) -> dict[str, NDArray[np.float64]]:
    """Means, and the greatest probability, over the pixels of each polygon, block by block; NaN where unknown.

    Args:
        stack: Where slope and elevation come from.
        probability: The map, with the bands `probability` and `spread`.
        polygons: An array of geometries on the grid.
        grid: Of the map.

    Returns:
        One value a polygon, by the names of `COLUMNS` without the area.
    """
    terrain = [band for band in TERRAIN if band in stack.info.bands]
    names = ["probability_mean", "spread_mean", *(TERRAIN[band] for band in terrain)]
    sums, counts = np.zeros((len(names), len(polygons))), np.zeros((len(names), len(polygons)))
    greatest = np.full(len(polygons), -np.inf)
    tree = shapely.STRtree(polygons)
    with Reader(probability) as map_reader, stack.reader(PART) as stack_reader:
        for roi in blocks(map_reader.shape, BLOCK_SIDE):
            ids = _burn(tree, polygons, grid[roi])
            if ids is None:
                continue
            planes = [*map_reader.read(("probability", "spread"), roi), *stack_reader.read(terrain, roi)]
            covered = ids > 0
            np.maximum.at(greatest, ids[covered] - 1, planes[0][covered])
            for index, plane in enumerate(planes):
                known = covered & np.isfinite(plane)
                sums[index] += np.bincount(ids[known] - 1, plane[known], len(polygons))
                counts[index] += np.bincount(ids[known] - 1, minlength=len(polygons))
    unknown = {name: np.full(len(polygons), np.nan) for name in COLUMNS[1:]}
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return unknown | dict(zip(names, means, strict=True)) | {"probability_max": greatest}


def _burn(tree: shapely.STRtree, polygons: Any, block: GeoBox) -> NDArray[np.int32] | None:
    """(y, x) index + 1 of the polygon at each pixel of a block, 0 elsewhere; None if no polygon overlaps it."""
    candidates = np.sort(tree.query(shapely.box(*block.boundingbox.bbox)))
    if not len(candidates):
        return None
    clipped = shapely.clip_by_rect(polygons[candidates], *block.boundingbox.buffered(block.resolution.x).bbox)
    pairs = [(part, index + 1) for part, index in zip(clipped, candidates, strict=True) if not part.is_empty]
    if not pairs:
        return None
    ids: NDArray[np.int32] = rasterize(pairs, block.shape, transform=block.affine, dtype="int32")
    return ids
