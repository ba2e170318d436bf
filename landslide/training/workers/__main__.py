"""A worker process: reads jobs, one JSON line each, from standard input and writes messages to standard output.

It ends with its parent process, which closes standard input.
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
    """Train one job after another until standard input is closed."""
    import torch

    from landslide.datasets.training_store import Tiles
    from landslide.errors import LandslideError
    from landslide.training.records import Epoch
    from landslide.training.trainer import train
    from landslide.training.workers.pool import Job, WorkerMessage

    def send(message: WorkerMessage) -> None:
        print(message.model_dump_json(), flush=True)

    def on_epoch(epoch: Epoch) -> None:
        send(WorkerMessage(epoch=epoch))

    logging.basicConfig(format="%(message)s")
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()
    while True:
        job = Job.model_validate_json(jobs.get())
        try:
            tiles = Tiles(job.tiles)
            train(job.spec, job.schedule, tiles, job.device, job.folder, job.workspace, on_epoch, job.until)
        except LandslideError as error:
            send(WorkerMessage(done=True, refusal=str(error)))
        else:
            send(WorkerMessage(done=True))
        torch.cuda.empty_cache()  # no effect without a GPU


if __name__ == "__main__":
    main()
