from pathlib import Path

import pytest

from landslide.errors import CrashError
from landslide.training.probe import Found, Probe, measure, probe_request, read, seconds

PROBE = Probe(architecture="Unet", encoder="resnet18", channels=2, crop=64, batch=2, device="cpu")


def test_bfloat16_is_chosen_where_it_is_clearly_faster() -> None:
    assert Found(fp32=1.0, bf16=0.5).choice == "bf16"
    assert Found(fp32=1.0, bf16=0.95).choice == "fp32"
    assert Found(fp32=1.0, bf16=10.0).choice == "fp32"


def test_a_probe_measures_both_in_a_process_of_its_own(tmp_path: Path) -> None:
    measure(PROBE, tmp_path)
    found = read(tmp_path)
    assert found.fp32 > 0
    assert found.bf16 > 0


def test_what_is_hopeless_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    monkeypatch.setattr("landslide.training.probe.bce", lambda logits, *_: steps.append(1) or logits.sum())
    seconds(PROBE, "fp32", limit=0.0)
    assert len(steps) == 1
    seconds(PROBE, "fp32")
    assert len(steps) == 1 + 4


def test_a_probe_is_of_a_processor_and_not_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "A GPU")
    keys = [probe_request(PROBE.model_copy(update={"device": name})).key for name in ("cuda:0", "cuda:1", "cpu")]
    assert keys[0] == keys[1] != keys[2]


def test_a_probe_that_dies_says_why(tmp_path: Path) -> None:
    with pytest.raises(CrashError, match=r"(?s)the probe of Unet ended with status 1.*mobileone"):
        measure(PROBE.model_copy(update={"encoder": "no_such_encoder"}), tmp_path)
