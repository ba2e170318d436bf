from pathlib import Path

import pytest

from landslide.errors import CrashError
from landslide.training.tuning.precision import (
    MeasurePrecision,
    Probe,
    ProbeResult,
    measure,
    read_probe,
    run_probe,
    step_seconds,
)

PROBE = Probe(architecture="Unet", encoder="resnet18", channels=2, crop=64, batch=2, device="cpu")


def test_bfloat16_is_chosen_where_it_is_clearly_faster() -> None:
    assert ProbeResult(fp32=1.0, bf16=0.5).choice == "bf16"
    assert ProbeResult(fp32=1.0, bf16=0.95).choice == "fp32"
    assert ProbeResult(fp32=1.0, bf16=10.0).choice == "fp32"


@pytest.mark.slow
def test_a_probe_measures_both_in_a_process_of_its_own(tmp_path: Path) -> None:
    measure(PROBE, tmp_path)
    found = read_probe(tmp_path)
    assert (found.fp32 is None) == (found.bf16 is None)
    assert found.fp32 is None or found.fp32 > 0


@pytest.mark.parametrize(("bf16", "tried"), [(1.9, True), (2.1, False)])
def test_the_network_is_tried_where_one_layer_gives_hope(
    monkeypatch: pytest.MonkeyPatch, bf16: float, tried: bool
) -> None:
    layer = {"fp32": 1.0, "bf16": bf16}
    monkeypatch.setattr("landslide.training.tuning.precision._layer_seconds", lambda kind: layer[kind])
    monkeypatch.setattr(
        "landslide.training.tuning.precision.step_seconds", lambda _, kind: {"fp32": 9.0, "bf16": 5.0}[kind]
    )
    found = run_probe(PROBE)
    assert found == (ProbeResult(fp32=9.0, bf16=5.0) if tried else ProbeResult(fp32=None, bf16=None))
    assert found.choice == ("bf16" if tried else "fp32")


def test_a_step_takes_time() -> None:
    assert 0 < step_seconds(PROBE, "fp32") < 60


def test_a_probe_is_of_a_processor_and_not_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "A GPU")
    keys = [MeasurePrecision.of(PROBE.model_copy(update={"device": name})).key for name in ("cuda:0", "cuda:1", "cpu")]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.slow
def test_a_probe_that_dies_says_why(tmp_path: Path) -> None:
    with pytest.raises(CrashError, match=r"(?s)the probe of Unet ended with status 1.*(CUDA|NVIDIA)"):
        measure(PROBE.model_copy(update={"device": "cuda:97"}), tmp_path)
    assert not list(tmp_path.iterdir())
