"""Bands of a case by Google Earth Engine.

Read it in this order: `source` (what the prepare stage asks for), `recipe` (a case's image as one expression, made of
`sentinel1`, `flattening`, `sentinel2`, `terrain`, `water`), `scenes` (which images of the archive it names), `plan`
(what an export will take), then the two ways out: `pixels`, `tiler`, `gate`, `journal` (tile by tile) and `bucket` (by
way of Cloud Storage). `session` signs in, `asking` and `verdict` know what to do when the service falters, `preview`
draws a case before anything is exported.

Nobody but this package and the simulated Earth Engine imports Google's client.
"""
