"""Prepared cases made by hand, for tests of what comes after preparing."""

from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox

from landslide.cases.case import Case
from landslide.datasets.stack import Stack, StackInfo, StackPart
from landslide.geo.raster import cog
from landslide.sources.base import SEEN

BANDS = ("vv_change", "dndvi_median", "slope", "northness", "eastness")


def toy_stack(
    folder: Path,
    name: str = "toy",
    size: int = 96,
    seed: int = 0,
    bands: tuple[str, ...] = BANDS,
    labelled: bool = True,
) -> Stack:
    """A case whose landslides are discs, plain to see in the first two bands; the upper left corner is not observed."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    truth = np.zeros((size, size), bool)
    for _ in range(5):
        row, column, radius = *random.integers(12, size - 12, 2), random.integers(4, 9)
        truth |= (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    values = random.normal(0, 1, (len(bands), size, size)).astype("float32")
    values[: min(2, len(bands)), truth] -= 3
    values[:, :8, :8] = np.nan
    label = np.where(np.isfinite(values).all(0), truth, 255).astype("uint8")
    geobox = GeoBox.from_bbox(
        BoundingBox(500000, 5000000, 500000 + 10 * size, 5000000 + 10 * size), "EPSG:32632", resolution=10
    )
    whole = (slice(0, size), slice(0, size))
    with cog(folder / "scene.stack.tif", geobox, bands, "float32", float("nan")) as writer:
        writer.write(values, whole)
    with cog(folder / "scene.seen.tif", geobox, SEEN, "uint16", 65535) as writer:
        writer.write(np.full((4, size, size), 3, "uint16"), whole)
    if labelled:
        with cog(folder / "scene.label.tif", geobox, ["label"], "uint8", 255) as writer:
            writer.write(label[None], whole)
    info = StackInfo(
        case=toy_case(name),
        bands=bands,
        georeferenced=True,
        parts=[
            StackPart(
                name="scene",
                height=size,
                width=size,
                observed=dict.fromkeys(bands, float(np.isfinite(values[0]).mean())),
                landslide_pixels=int((label == 1).sum()) if labelled else None,
            )
        ],
        scenes=[{"sensor": "s2", "when": "pre", "id": "a", "date": "2020-05-01", "orbit": None, "cloud_cover": 10.0}],
        inventory=None,
    )
    (folder / "stack.json").write_text(info.model_dump_json())
    return Stack.open(folder)


def toy_case(name: str) -> Case:
    """A case whose source is never opened."""
    source = {"kind": "stac", "catalog": "catalog.json", "dem": {"collection": "dem"}}
    return Case.model_validate(
        {"id": name, "title": name, "event_date": "2020-06-01", "aoi": [9.0, 45.1, 9.02, 45.12], "source": source}
    )
