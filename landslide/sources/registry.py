"""Which source a case names."""

from typing import Any

from landslide.cases.case import Case
from landslide.cases.sources import ArchiveSource, EarthEngineSource, FilesSource
from landslide.sources.base import Source


def open_source(case: Case) -> Source:
    """The source that a case names; nothing is read or asked for before `find_scenes`.

    Raises GridError where the case has no usable grid, SourceError where a package that the source needs is missing.
    """
    config: Any = case.source
    if isinstance(config, ArchiveSource):
        from landslide.sources.archive import Archive

        return Archive(case, config)
    if isinstance(config, FilesSource):
        from landslide.sources.files import Files

        return Files(case, config)
    if isinstance(config, EarthEngineSource):
        from landslide.sources.earthengine.source import EarthEngine

        return EarthEngine(case, config)
    from landslide.sources.stac.source import Stac

    return Stac(case, config)
