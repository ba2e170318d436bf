"""What can go wrong, by name. Every message names the value, the file and what to do next."""


class LandslideError(Exception):
    """Anything this library refuses or fails at on purpose."""


class InputError(LandslideError, ValueError):
    """What the user gave cannot be used: a case, an experiment, a file, an option."""


class GridError(InputError):
    """The area of interest has no usable grid, or two grids that must agree do not."""


class BandError(InputError):
    """A band is unknown, missing, or in another order than asked for."""


class SourceError(InputError):
    """A source cannot deliver: no catalogue, no scene in a window, unreadable or mislabelled files."""


class EmptyWindowError(SourceError):
    """A window of a case holds no usable scene."""


class NoOverlapError(SourceError):
    """What the source has lies outside the case's area of interest."""


class InventoryError(InputError):
    """An inventory cannot be read or holds nothing for this case."""


class StoreError(LandslideError):
    """An artifact is damaged or cannot be written."""


class ServiceError(LandslideError):
    """A service did not deliver in spite of all retries; the same command goes on from there."""


class TrainingError(LandslideError):
    """No member came out of training, or training cannot start on these tiles."""


class CrashError(TrainingError):
    """A member's process ended before its result was there; another attempt goes on from its last checkpoint."""
