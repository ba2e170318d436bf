"""What a map is asked for and what it says."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from landslide.models.architectures import STRIDE

PART = "scene"
PROBABILITY, LANDSLIDES, ITEM = "probability.tif", "landslides.gpkg", "item.json"
QUICKLOOK, REPORT, SUMMARY = "quicklook.png", "report.html", "summary.json"


class MapOptions(BaseModel):
    """How an event is mapped.

    `window` and `overlap` are pixels, of the largest window and of the least overlap. `minimum_area_m2` is the minimum
    mapping unit: 400 m², about four pixels of 10 m, the least patch whose outline says more than the noise of single
    pixels. `threshold` is a probability; None takes the ensemble's. `precision` `bf16` is faster on hardware that has
    it and moves probabilities by hundredths.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: Annotated[int, Field(ge=STRIDE)] = 512
    overlap: Annotated[int, Field(ge=0)] = 64
    minimum_area_m2: Annotated[float, Field(ge=0)] = 400.0
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def _windows_advance(self) -> Self:
        if self.overlap > self.window // 2:
            raise ValueError(f"overlap {self.overlap} passes half of the window {self.window}; give less")
        return self


class MapSummary(BaseModel):
    """The figures of a map, as `summary.json` holds them.

    Areas are geodesic, in m². `area_m2` holds the total and, where there are landslides, quantiles and the largest.
    `share_observed` is the share of the area of interest that the map says anything about; `share_landslide` the share
    of that observed area, None where nothing was observed. `seen` is the share of the area of interest with at least
    one usable acquisition, per sensor and window, None where the source cannot know. `windows` counts one member's.
    `confidence` counts landslides by class, empty where the ensemble has none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str
    title: str
    ensemble: str
    members: int
    threshold: float
    minimum_area_m2: float
    windows: int
    landslides: int
    confidence: dict[str, int]
    area_m2: dict[str, float]
    observed_m2: float
    share_observed: float
    share_landslide: float | None
    seen: dict[str, float | None]

    @property
    def nothing_observed(self) -> bool:
        """Whether the map is blank because nothing was seen, not because nothing happened."""
        return self.observed_m2 == 0
