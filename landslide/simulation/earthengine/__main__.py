"""The loopback as a command: `python -m landslide.simulation.earthengine WORLD --port 8080`."""

import argparse
import signal
import threading
from pathlib import Path

from . import serve


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m landslide.simulation.earthengine", description=__doc__)
    parser.add_argument("world", type=Path, help="folder of a simulated world")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--delay", type=float, default=0.0, help="minimum duration of a computed reply, in seconds")
    parser.add_argument("--token", help="require this bearer token")
    arguments = parser.parse_args()
    stopped = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, frame: stopped.set())
    with serve(arguments.world, delay=arguments.delay, port=arguments.port, token=arguments.token) as loopback:
        print(f"Earth Engine of {arguments.world} at {loopback.url}", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
