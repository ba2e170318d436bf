"""The simulated scenes as a self-contained STAC catalogue, with the metadata of public catalogues."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pystac
import shapely
from pyproj import Transformer
from rasterio.transform import Affine
from shapely.ops import transform as reproject

from .rasters import write_cog

PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"
EO = "https://stac-extensions.github.io/eo/v1.1.0/schema.json"
SAR = "https://stac-extensions.github.io/sar/v1.0.0/schema.json"
SAT = "https://stac-extensions.github.io/sat/v1.0.0/schema.json"
VIEW = "https://stac-extensions.github.io/view/v1.0.0/schema.json"

SENTINEL1, SENTINEL2, DEM = "sentinel-1-rtc", "sentinel-2-l2a", "copernicus-dem"
TITLES = {
    SENTINEL1: "Simulated Sentinel-1, terrain-corrected gamma0 in linear power",
    SENTINEL2: "Simulated Sentinel-2 Level-2A",
    DEM: "Simulated Copernicus DEM GLO-30",
}
COMMON_NAMES = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir"}


@dataclass(frozen=True)
class AssetRaster:
    """An asset's pixels (rows, columns), their transform and their `raster:bands` entry, whose nodata is the file's."""

    pixels: npt.NDArray[np.generic]
    transform: Affine
    band: dict[str, Any]


@dataclass(frozen=True)
class ItemRecord:
    """A STAC item before it is written.

    `outline` is in the CRS of the rasters (`epsg`), `assets` are by name, `properties` exclude those of the projection
    extension.
    """

    id: str
    collection: str
    when: datetime
    epsg: int
    outline: shapely.Geometry
    assets: dict[str, AssetRaster]
    properties: dict[str, Any] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()


def write_item(folder: Path, record: ItemRecord) -> pystac.Item:
    """Write the item's COGs to `folder/<collection>/<id>/`; return the item with asset links relative to itself."""
    outline = record.outline
    if record.epsg != 4326:
        outline = reproject(Transformer.from_crs(record.epsg, 4326, always_xy=True).transform, outline)
    outline = shapely.set_precision(outline, 1e-7)
    item = pystac.Item(
        id=record.id,
        geometry=shapely.geometry.mapping(outline),
        bbox=list(outline.bounds),
        datetime=record.when,
        properties=record.properties | {"proj:code": f"EPSG:{record.epsg}"},
        stac_extensions=[PROJECTION, RASTER, *record.extensions],
        collection=record.collection,
    )
    for name, raster in record.assets.items():
        path = folder / record.collection / record.id / f"{name}.tif"
        write_cog(path, raster.pixels, record.epsg, raster.transform, float(raster.band["nodata"]), name)
        item.add_asset(name, _asset(name, raster, record.epsg))
    first = next(iter(item.assets.values()))
    item.properties["proj:shape"] = first.extra_fields["proj:shape"]
    item.properties["proj:transform"] = first.extra_fields["proj:transform"]
    return item


def _asset(name: str, raster: AssetRaster, epsg: int) -> pystac.Asset:
    extra: dict[str, Any] = {
        "proj:code": f"EPSG:{epsg}",
        "proj:shape": list(raster.pixels.shape),
        "proj:transform": list(raster.transform)[:6],
        "raster:bands": [raster.band],
    }
    if name in COMMON_NAMES:
        extra["eo:bands"] = [{"name": name, "common_name": COMMON_NAMES[name]}]
    return pystac.Asset(href=f"./{name}.tif", media_type=pystac.MediaType.COG, roles=["data"], extra_fields=extra)


def write_catalogue(folder: Path, items: list[pystac.Item]) -> Path:
    """Write `catalog.json`, its collections and all items with relative links; return the path of the catalogue."""
    catalogue = pystac.Catalog(
        id="simulated-world", description="Simulated landslide events", title="Simulated landslide events"
    )
    for name, title in TITLES.items():
        members = [item for item in items if item.collection_id == name]
        collection = pystac.Collection(
            id=name, title=title, description=title, extent=_extent(members), license="MIT", keywords=["simulated"]
        )
        collection.add_items(members)
        catalogue.add_child(collection)
    # The root must not contain a dot: pystac takes a folder such as "world.v1" for a file and writes to its parent.
    catalogue.normalize_hrefs("/world")
    catalogue.save(pystac.CatalogType.SELF_CONTAINED, dest_href=str(folder))
    return folder / "catalog.json"


def _extent(items: list[pystac.Item]) -> pystac.Extent:
    boxes = np.array([item.bbox for item in items])
    times = [item.datetime or datetime(1970, 1, 1, tzinfo=UTC) for item in items]
    whole = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
    return pystac.Extent(pystac.SpatialExtent([whole]), pystac.TemporalExtent([[min(times), max(times)]]))
