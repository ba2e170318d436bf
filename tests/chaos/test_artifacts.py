"""Results whose process is killed while they are written."""

import subprocess
import sys
import textwrap
from pathlib import Path

from landslide.artifacts.store import ArtifactStore
from tests.helpers.toy_stage import Toy


def test_a_killed_build_is_never_read_and_is_swept_away(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from landslide.artifacts.store import ArtifactStore
        from tests.helpers.toy_stage import Toy
        def die(folder):
            (folder / "half.txt").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        ArtifactStore(Path({str(tmp_path)!r})).get_or_build(Toy(), die)
    """)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    store = ArtifactStore(tmp_path)
    assert list(tmp_path.rglob("half.txt")), "the killed process got as far as writing"
    assert not store.has(Toy().artifact)
    store.get_or_build(Toy())
    assert not list(tmp_path.rglob("half.txt"))


def test_a_killed_write_of_a_file_leaves_the_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("earlier")
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from landslide.artifacts.atomic import atomic_file
        with atomic_file(Path({str(file)!r})) as draft:
            draft.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert file.read_text() == "earlier"
    program = program.replace("os.kill(os.getpid(), signal.SIGKILL)", "pass")
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"], "the draft of the killed one is gone"
