"""A member's process: the job as one line of JSON on standard input, an epoch as one on standard output.

It ends when its parent does: standard input then ends, too.
"""

import logging
import os
import sys
import threading


def _die_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    """Train the job on standard input."""
    from landslide.errors import LandslideError
    from landslide.tiles import Tiles
    from landslide.training.member import train
    from landslide.training.process import REFUSED, Job

    logging.basicConfig(format="%(message)s")
    job = Job.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        train(
            job.spec, job.schedule, Tiles(job.tiles), job.device, job.folder, job.workspace,
            tell=lambda epoch: print(epoch.model_dump_json(), flush=True),
        )  # fmt: skip
    except LandslideError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(REFUSED)
    sys.stdout.flush()
    os._exit(0)  # without waiting for the watching thread


if __name__ == "__main__":
    main()
