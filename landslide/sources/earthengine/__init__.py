"""Layers of a case by Google Earth Engine.

Read it in this order: `source` (what the tasks ask for), `scenes` (which images of the archive a case uses), `image` (a
layer's request as one expression) with a module for each sensor in `expressions`, then `export/layer` (the export of
one layer) with its two methods: tile by tile (`export/pixels`, `tiles`, `queue`, `journal`, `stats`) and through Cloud
Storage (`export/gcs`). `export/estimate` says what an export will take. `session` signs in; `query`, `errors` and
`limiter` handle refusals, failures and the limit of concurrent requests. `preview` shows a case before it is exported.

Only this package and the simulated Earth Engine import Google's client.
"""
