"""The slot of a killed process."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from landslide.training.workers import slots


def test_the_place_of_a_killed_process_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(slots, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(slots, "cores", lambda: 1)
    holder = (
        "import tempfile, time, landslide.training.workers.slots as slots\n"
        f"tempfile.tempdir = {str(tmp_path)!r}; slots.cores = lambda: 1\n"
        "with slots.lease('cpu'): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        got = threading.Event()

        def wait() -> None:
            with slots.lease("cpu"):
                got.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not got.wait(0.3)
        process.kill()
        assert got.wait(5)
        waiting.join()
