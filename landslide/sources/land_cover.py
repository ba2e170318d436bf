"""Land cover that a case knows, from a raster of classes on any grid onto its own."""

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from landslide.cases.case import Case, Cover
from landslide.errors import NoOverlapError, SourceError
from landslide.geo.warp import RasterBand, grid_of, warped

COVER_UNKNOWN = 255


def reaches(case: Case, geobox: GeoBox) -> None:
    """Look at the file of the case's land cover before anything is computed.

    SourceError where it does not open or has no CRS, NoOverlapError where it lies beside the grid.
    """
    if case.cover is None:
        return
    here, there = (box.footprint("EPSG:4326") for box in (geobox, grid_of(case.cover.path)))
    if not here.intersects(there):
        covered, wanted = ([round(edge, 4) for edge in place.boundingbox] for place in (there, here))
        raise NoOverlapError(
            f"case {case.id}: the land cover {case.cover.path} covers {covered} (west, south, east, north), the area "
            f"is {wanted}. Give another file, or leave cover out"
        )


def cover_on(cover: Cover, geobox: GeoBox) -> NDArray[np.uint8]:
    """Classes (y, x) uint8 on a grid, by the nearest pixel; 255 where the file has nodata, 255 or no pixel.

    SourceError names the file where it does not read, or holds what is no class: a whole number from 0 to 254.
    """
    values = warped(RasterBand(cover.path), geobox, "nearest")
    known = ~np.isnan(values)
    strange = values[known & ((values < 0) | (values > COVER_UNKNOWN) | (values != np.floor(values)))]
    if strange.size:
        raise SourceError(
            f"{cover.path} holds {strange[0]:g}, and a class of land cover is a whole number from 0 to 254 (255 is "
            "unknown). Give a raster of classes"
        )
    return np.where(known, values, COVER_UNKNOWN).astype("uint8")
