"""Event files, written by a second hand."""

from pathlib import Path

import pytest

from landslide.errors import InputError
from landslide.pretrained.tensorboard import MAX_SCALAR_BYTES, best_score, scalars
from tests.helpers.published_layout import checksum, event, record, scalar

NAME = "events.out.tfevents.1689845082.airflow.1022171"


def test_the_checksum_is_that_of_the_standard() -> None:
    # RFC 3720, B.4: CRC-32C of 32 zero bytes is 8a9136aa; masked as tfrecord masks it.
    value = 0x8A9136AA
    assert checksum(bytes(32)) == (((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def test_scalars_of_a_tag_among_others(tmp_path: Path) -> None:
    picture = event(b"val/f1_best" + bytes(MAX_SCALAR_BYTES))
    path = tmp_path / f"{NAME}.0"
    told = [scalar("val/f1_best", 0.25), picture, scalar("val/f1", 0.9), scalar("val/f1_best", 0.5, tensor=True)]
    path.write_bytes(b"".join(map(record, told)))
    assert scalars(path, "val/f1_best") == [0.25, 0.5]
    assert scalars(path, "val/f1") == [pytest.approx(0.9)]
    assert scalars(path, "test/f1") == []


def test_the_best_of_all_files(tmp_path: Path) -> None:
    for number, scores in enumerate([(0.25, 0.75), (0.5, float("nan")), ()]):
        data = b"".join(record(scalar("val/f1_best", score)) for score in scores)
        (tmp_path / f"{NAME}.{number}").write_bytes(data)
    assert best_score(tmp_path) == 0.75


def test_a_last_record_that_was_cut_off_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = record(scalar("val/f1_best", 0.5)) + record(scalar("val/f1_best", 0.75))
    path = tmp_path / f"{NAME}.0"
    for cut in (1, 20, len(whole) // 2 - 12):
        path.write_bytes(whole[:-cut])
        assert scalars(path, "val/f1_best") == [0.5]
    assert "cut off" in caplog.text


@pytest.mark.parametrize("place", [3, 9, -6])
def test_a_damaged_record_is_refused(tmp_path: Path, place: int) -> None:
    data = bytearray(record(scalar("val/f1_best", 0.5)))
    data[place] ^= 0x40
    (tmp_path / f"{NAME}.0").write_bytes(data * 2)
    with pytest.raises(InputError, match=rf"{NAME}.0 is damaged"):
        best_score(tmp_path)


@pytest.mark.parametrize(
    "inner", [b"\x0a\xff\x01val/f1_best", b"\x0a\x0d\x0bval/f1_best", b"\x0fval/f1_best", b"\xff" * 9]
)
def test_a_record_that_is_no_event_is_refused(tmp_path: Path, inner: bytes) -> None:
    (tmp_path / f"{NAME}.0").write_bytes(record(event(inner) + b"val/f1_best"))
    with pytest.raises(InputError, match=NAME):
        best_score(tmp_path)


def test_no_value_is_refused_with_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"{tmp_path.name} holds no value of val/f1_best in 0 event files"):
        best_score(tmp_path)
    (tmp_path / f"{NAME}.0").write_bytes(record(scalar("val/f1_best", float("nan"))))
    with pytest.raises(InputError, match="in 1 event files: the model diverged"):
        best_score(tmp_path)
