"""Land cover that a case knows, from a raster of classes on any grid onto its own."""

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from landslide.cases.case import Case, Cover
from landslide.errors import NoOverlapError, SourceError
from landslide.geo.warp import RasterBand, degrees, grid_of, overlaps, warped

COVER_UNKNOWN = 255


def reaches(case: Case, geobox: GeoBox) -> None:
    """Check the file of the case's land cover by its header, before anything is computed.

    SourceError where it does not open or has no CRS, NoOverlapError where it does not overlap the grid.
    """
    if case.cover is None:
        return
    source = grid_of(case.cover.path)
    if not overlaps(source, geobox):
        raise NoOverlapError(
            f"case {case.id}: the land cover {case.cover.path} covers {degrees(source)} (west, south, east, north), "
            f"the area is {degrees(geobox)}. Give another file, or leave cover out"
        )


def cover_on(cover: Cover, geobox: GeoBox) -> NDArray[np.uint8]:
    """Classes (y, x) uint8 on a grid, by the nearest pixel; 255 where the file has nodata, 255 or no pixel.

    SourceError names the file where it does not read, or holds what is no class: a whole number from 0 to 254.
    """
    values = warped(RasterBand(cover.path), geobox, "nearest")
    known = ~np.isnan(values)
    invalid = values[known & ((values < 0) | (values > COVER_UNKNOWN) | (values != np.floor(values)))]
    if invalid.size:
        raise SourceError(
            f"{cover.path} holds {invalid[0]:g}, and a class of land cover is a whole number from 0 to 254 (255 is "
            "unknown). Give a raster of classes"
        )
    return np.where(known, values, COVER_UNKNOWN).astype("uint8")
