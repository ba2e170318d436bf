"""The client, signed in at a loopback, and pixels on grids."""

from typing import Any

import ee
import numpy as np
from google.auth.credentials import AnonymousCredentials

CRS = "EPSG:32654"
LEFT, TOP = 500_000.0, 4_700_000.0
UTM = (10.0, 0.0, LEFT, 0.0, -10.0, TOP)


def sign_in(url: str, project: str = "loopback", credentials: Any = None, retries: int = 0) -> None:
    """Initialise the client without retries, so that tests see what the server says."""
    ee.deprecation._FetchDataCatalogStac = lambda: {}
    ee.Initialize(credentials or AnonymousCredentials(), url=url, project=project)  # type: ignore[no-untyped-call]
    ee.data.setMaxRetries(retries)


def grid(
    width: int = 8, height: int = 8, transform: tuple[float, ...] = UTM, crs: str = CRS, x: int = 0, y: int = 0
) -> dict[str, Any]:
    """A request's grid of so many pixels, its corner moved by x columns and y rows."""
    a, b, c, d, e, f = transform
    return {
        "dimensions": {"width": width, "height": height},
        "affineTransform": {
            "scaleX": a, "shearX": b, "translateX": c + x * a + y * b,
            "shearY": d, "scaleY": e, "translateY": f + x * d + y * e,
        },
        "crsCode": crs,
    }  # fmt: skip


def pixels(image: Any, asked: dict[str, Any] | None = None, **more: Any) -> np.ndarray:
    """The structured array of an image on a grid."""
    request = {"expression": image, "fileFormat": "NUMPY_NDARRAY", "grid": asked or grid(), **more}
    found: np.ndarray = ee.data.computePixels(request)
    return found


def values(image: Any, asked: dict[str, Any] | None = None, missing: float = -1.0) -> np.ndarray:
    """The first band's numbers, `missing` where masked, as doubles."""
    found = pixels(image.toDouble().unmask(missing, False), asked)
    return found[found.dtype.names[0]]


def own_grid(image: Any, band: int = 0) -> dict[str, Any]:
    """The grid that an asset's band is stored on."""
    info = image.getInfo()["bands"][band]
    width, height = info["dimensions"]
    return grid(width, height, tuple(info["crs_transform"]), info["crs"])
