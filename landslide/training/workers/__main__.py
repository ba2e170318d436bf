"""A process that trains members: a job a line on standard input, what comes of it on standard output.

It ends when its parent does: standard input then ends, too.
"""

import logging
import os
import queue
import sys
import threading


def _read(jobs: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(1)


def main() -> None:
    """Train one job after another until standard input ends."""
    import torch

    from landslide.datasets.training_store import Tiles
    from landslide.errors import LandslideError
    from landslide.training.records import Epoch
    from landslide.training.trainer import train
    from landslide.training.workers.pool import Job, Told

    def tell(told: Told) -> None:
        print(told.model_dump_json(), flush=True)

    def tell_epoch(epoch: Epoch) -> None:
        tell(Told(epoch=epoch))

    logging.basicConfig(format="%(message)s")
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()
    while True:
        job = Job.model_validate_json(jobs.get())
        try:
            train(
                job.spec, job.schedule, Tiles(job.tiles), job.device, job.folder, job.workspace, tell_epoch, job.until
            )
        except LandslideError as error:
            tell(Told(done=True, refusal=str(error)))
        else:
            tell(Told(done=True))
        torch.cuda.empty_cache()  # nothing without a GPU


if __name__ == "__main__":
    main()
