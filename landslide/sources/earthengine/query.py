"""Small requests to Earth Engine, within the process's limit, repeated where the service fails for a moment."""

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import ee

from landslide.errors import LandslideError, ServiceError, SourceError
from landslide.sources.earthengine.errors import ErrorKind, classify, redact
from landslide.sources.earthengine.limiter import shared

TRIES = 7
MAX_WAIT_SECONDS = 30.0
Reply = TypeVar("Reply")


def get_info(value: ee.ComputedObject) -> Any:
    """The value of a computed object, as JSON has it; raises as `with_retries`."""
    return with_retries(value.getInfo)


def with_retries(call: Callable[[], Reply]) -> Reply:
    """What a call of the client returns.

    Raises SourceError with Google's words for a permanent error, ServiceError after `TRIES` transient ones.
    """
    for attempt in range(TRIES):
        try:
            with shared().request():
                return call()
        except LandslideError:
            raise
        except Exception as error:
            found = classify(error)
            if found.kind is not ErrorKind.TRANSIENT:
                raise SourceError(
                    f"Earth Engine refuses: {redact(error)}. See Troubleshooting in docs/earth-engine.md"
                ) from None
            last = error
            time.sleep(found.wait or random.uniform(0, min(2.0**attempt, MAX_WAIT_SECONDS)))
    raise ServiceError(
        f"Earth Engine did not answer in {TRIES} tries: {redact(last)}. Run the same command again later"
    )
