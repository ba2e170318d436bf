"""The same case through two sources, band by band; `python -m tests.helpers.parity` prints the docs' table."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landslide.cases.case import Case, load_case
from landslide.sources.base import COUNTS, SCENE, Block, LayerName, SceneList, Source
from landslide.sources.registry import open_source

GAP = 7777  # a pixel that no block of an export holds


@dataclass(frozen=True)
class Difference:
    """How far two planes of a band lie apart where both observe; `masks` is the share of pixels that one alone has."""

    median: float
    p99: float
    largest: float
    masks: float

    @classmethod
    def of(cls, one: NDArray[np.float32], other: NDArray[np.float32]) -> "Difference":
        both = np.isfinite(one) & np.isfinite(other)
        apart = np.abs(one - other)[both].astype("float64")
        masks = float((np.isfinite(one) != np.isfinite(other)).mean())
        return cls(float(np.median(apart)), float(np.quantile(apart, 0.99)), float(apart.max()), masks)


def by_service(case: Case, **source: Any) -> Case:
    """The case with Earth Engine as its source."""
    return Case.model_validate({**case.model_dump(mode="json"), "source": {"kind": "earthengine", **source}})


def whole_layer(source: Source, found: SceneList, layer: LayerName, workspace: Path) -> Block:
    """All pixels of a layer as its source exports them."""
    request, grid = found.layers[layer], found.parts[SCENE]
    shape = (grid.height, grid.width)
    whole = Block(
        {band: np.full(shape, GAP, "float32") for band in request.bands},
        {name: np.full(shape, GAP, "uint16") for name in COUNTS[layer]},
    )
    for roi, block in source.export(request, SCENE, workspace):
        for target, part in ((whole.values, block.values), (whole.seen, block.seen)):
            for name, plane in part.items():
                target[name][roi] = plane
    return whole


def whole(case: Case) -> Block:
    """All pixels of a case's layers, by whatever source it names."""
    source = open_source(case)
    found = source.find_scenes()
    values: dict[str, NDArray[np.float32]] = {}
    seen: dict[str, NDArray[np.uint16]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for layer in found.layers:
            block = whole_layer(source, found, layer, Path(folder) / layer)
            values |= block.values
            seen |= block.seen
    return Block(values, seen)


def compared(case: Case, **source: Any) -> dict[str, Difference]:
    """Each band that both sources give: of the STAC case, and of the same case by Earth Engine."""
    catalogue, service = whole(case), whole(by_service(case, **source))
    return {name: Difference.of(catalogue.values[name], plane) for name, plane in service.values.items()}


def main() -> None:
    """The docs' table: over all events of a world, the worst event of each band."""
    from landslide.simulation.earthengine import serve
    from landslide.simulation.world import simulate_world
    from landslide.sources.earthengine.session import URL

    with tempfile.TemporaryDirectory() as folder:
        world = simulate_world(Path(folder) / "world", events=4, size=256, seed=7)
        with serve(world.folder) as service:
            os.environ[URL] = service.url
            cases = [load_case(path) for path in world.cases]
            same = [compared(case, sentinel2={"cloud_mask": "scl"}) for case in cases]
            score = [compared(case, sentinel1=None, dem=None) for case in cases]
    print("| band | median | 99 % | largest | pixels that one source alone has |\n|---|---|---|---|---|")
    for found, note in ((same, ""), (score, ", Cloud Score+")):
        for name in found[0]:
            worst = [max(getattr(one[name], key) for one in found) for key in ("median", "p99", "largest", "masks")]
            print(f"| `{name}`{note} | {worst[0]:.2g} | {worst[1]:.2g} | {worst[2]:.2g} | {worst[3]:.2%} |")


if __name__ == "__main__":
    main()
