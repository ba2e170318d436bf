"""Small questions to Earth Engine, within the process's limit of requests, asked again where the service falters."""

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
Answer = TypeVar("Answer")


def answer(question: ee.ComputedObject) -> Any:
    """The value of a computed object, as JSON has it; raises as `patiently`."""
    return patiently(question.getInfo)


def patiently(ask: Callable[[], Answer]) -> Answer:
    """What a call of the client answers.

    Raises SourceError with Google's words where it will never answer, ServiceError where it did not in `TRIES` tries.
    """
    for attempt in range(TRIES):
        try:
            with shared().request():
                return ask()
        except LandslideError:
            raise
        except Exception as error:
            judgement = classify(error)
            if judgement.verdict is not ErrorKind.TRANSIENT:
                raise SourceError(
                    f"Earth Engine refuses: {redact(error)}. See Troubleshooting in docs/earth-engine.md"
                ) from None
            last = error
            time.sleep(judgement.wait or random.uniform(0, min(2.0**attempt, MAX_WAIT_SECONDS)))
    raise ServiceError(
        f"Earth Engine did not answer in {TRIES} tries: {redact(last)}. Run the same command again later"
    )
