"""Stacks made by hand or prepared from a case without Prefect, for tests of what comes after."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.cases.case import Case
from landslide.datasets.layers import (
    BANDS_FILE,
    COUNT_UNKNOWN,
    COUNTS_FILE,
    COVER_FILE,
    EXPORTS,
    IGNORE,
    LABEL_FILE,
    LAYER_FILE,
    LayerInfo,
    LayerPart,
)
from landslide.datasets.stack import STACK_FILE, BuildStack, Stack, StackInfo, StackPart, open_stack
from landslide.geo.raster import cog
from landslide.sources.base import COUNTS, LAYERS, LayerName, PartGrid, Scene, bands_of
from landslide.sources.registry import open_source

BANDS = ("vv_change", "dndvi_median", "slope", "northness", "eastness")


def prepared(case: Case, folder: Path) -> Stack:
    """The stack of a case, with its layers, in a store of the test's own."""
    store = ArtifactStore(folder)
    found = open_source(case).find_scenes()
    layers = {
        name: store.get_or_build(export.of(case, found, name))
        for name, export in EXPORTS.items()
        if name in found.layers or name == "mask"
    }
    return open_stack(store.get_or_build(BuildStack.of(case, layers, found.missing)), store)


def write_stack(
    folder: Path,
    case: Case,
    parts: Mapping[str, tuple[GeoBox, Mapping[str, NDArray[Any]]]],
    seen: int | Mapping[str, NDArray[Any]] = 3,
    label: Mapping[str, NDArray[Any]] = {},
    cover: Mapping[str, NDArray[Any]] = {},
    scenes: Sequence[Scene] = (),
    **info: Any,
) -> Stack:
    """Layers and a stack of these parts: a grid and bands (y, x) each; `seen` acquisitions of every count."""
    bands = tuple(next(iter(parts.values()))[1])
    layers = {}
    for layer in LAYERS:
        artifact = Artifact(stage=folder.parent.name, key=f"{folder.name}-{layer}")
        _write_layer(folder.parent / artifact.key, layer, parts, bands_of(layer, bands), seen, label, cover)
        layers[layer] = artifact
    folder.mkdir(parents=True, exist_ok=True)
    described = [
        StackPart(
            name=name, height=grid.shape.y, width=grid.shape.x,
            observed={band: float(np.isfinite(plane).mean()) for band, plane in planes.items()},
            landslide_pixels=int((label[name] == 1).sum()) if name in label else None,
        )
        for name, (grid, planes) in parts.items()
    ]  # fmt: skip
    fields: dict[str, Any] = {
        "case": case, "layers": layers, "bands": tuple(band for layer in LAYERS for band in bands_of(layer, bands)),
        "georeferenced": all(grid.crs is not None for grid, _ in parts.values()), "parts": described,
        "scenes": list(scenes),
    }  # fmt: skip
    (folder / STACK_FILE).write_text(StackInfo(**(fields | info)).model_dump_json())
    return Stack.open(folder)


def _write_layer(
    folder: Path,
    layer: LayerName,
    parts: Mapping[str, tuple[GeoBox, Mapping[str, NDArray[Any]]]],
    bands: tuple[str, ...],
    seen: int | Mapping[str, NDArray[Any]],
    label: Mapping[str, NDArray[Any]],
    cover: Mapping[str, NDArray[Any]],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (grid, planes) in parts.items():
        if bands:
            values = np.stack([planes[band] for band in bands])
            write_raster(folder / f"{name}.{BANDS_FILE}", grid, bands, values.astype("float32"), float("nan"))
        if counts := COUNTS[layer]:
            times = [np.full(grid.shape, seen, "uint16") if isinstance(seen, int) else seen[key] for key in counts]
            write_raster(
                folder / f"{name}.{COUNTS_FILE}", grid, counts, np.stack(times).astype("uint16"), COUNT_UNKNOWN
            )
        if layer == "mask" and name in label:
            write_raster(folder / f"{name}.{LABEL_FILE}", grid, ["label"], label[name][None].astype("uint8"), IGNORE)
        if layer == "mask" and name in cover:
            write_raster(folder / f"{name}.{COVER_FILE}", grid, ["cover"], cover[name][None].astype("uint8"), 255)
    grids = {name: LayerPart(grid=PartGrid.of(grid)) for name, (grid, _) in parts.items()}
    info = LayerInfo(layer=layer, bands=bands, parts=grids, scenes=())
    (folder / LAYER_FILE).write_text(info.model_dump_json())


def write_raster(path: Path, grid: GeoBox, bands: Sequence[str], values: NDArray[Any], nodata: float) -> None:
    """A COG of (band, y, x) values."""
    with cog(path, grid, bands, str(values.dtype), nodata) as writer:
        writer.write(values, (slice(0, values.shape[1]), slice(0, values.shape[2])))


def toy_stack(
    folder: Path,
    name: str = "toy",
    size: int = 96,
    seed: int = 0,
    bands: tuple[str, ...] = BANDS,
    labelled: bool = True,
) -> Stack:
    """A case whose landslides are discs, plain to see in the first two bands; the upper left corner is not observed."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    truth = np.zeros((size, size), bool)
    for _ in range(5):
        row, column, radius = *random.integers(12, size - 12, 2), random.integers(4, 9)
        truth |= (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    values = random.normal(0, 1, (len(bands), size, size)).astype("float32")
    values[: min(2, len(bands)), truth] -= 3
    values[:, :8, :8] = np.nan
    label = np.where(np.isfinite(values).all(0), truth, IGNORE).astype("uint8")
    geobox = GeoBox.from_bbox(
        BoundingBox(500000, 5000000, 500000 + 10 * size, 5000000 + 10 * size), "EPSG:32632", resolution=10
    )
    scene = Scene(id="a", sensor="sentinel-2", side="pre", time="2020-05-01T10:30:00Z", cloud_cover=10.0)
    return write_stack(
        folder, toy_case(name), {"scene": (geobox, dict(zip(bands, values, strict=True)))},
        label={"scene": label} if labelled else {}, scenes=[scene],
    )  # fmt: skip


def toy_case(name: str) -> Case:
    """A case whose source is never opened."""
    source = {"kind": "stac", "catalog": "catalog.json", "dem": {"collection": "dem"}}
    return Case.model_validate(
        {"id": name, "title": name, "event_date": "2020-06-01", "aoi": [9.0, 45.1, 9.02, 45.12], "source": source}
    )
