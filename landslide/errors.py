"""The library's exceptions. Every message names the value, the file and the next action."""


class LandslideError(Exception):
    """Base class of the library's exceptions."""


class InputError(LandslideError, ValueError):
    """A case, experiment, file or option given by the user cannot be used."""


class GridError(InputError):
    """The area of interest has no usable grid, or two grids that must match do not."""


class BandError(InputError):
    """A band is unknown or missing, or bands are in a different order than requested."""


class SourceError(InputError):
    """A source cannot deliver: no catalogue, no scene in a window, or unreadable or mislabelled files."""


class EmptyWindowError(SourceError):
    """A time window of a case contains no usable scene."""


class NoOverlapError(SourceError):
    """The source's data lie outside the case's area of interest."""


class InventoryError(InputError):
    """An inventory cannot be read, or has no polygon for this case."""


class StoreError(LandslideError):
    """An artifact is damaged or cannot be written."""


class ServiceError(LandslideError):
    """A remote service failed after all retries. Running the same command again resumes the work."""


class TrainingError(LandslideError):
    """No member was trained, or training cannot start on these tiles."""


class CrashError(TrainingError):
    """A member's process ended before it wrote its result. The next attempt resumes from the last checkpoint."""
