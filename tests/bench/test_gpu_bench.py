"""The bench of accelerators, with the CPU in the place of one."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.errors import ConfigError
from auricle.models.inference.batches import OnnxRunner
from auricle.models.inference.owner import InferenceOwner
from auricle.models.inference.providers import unusable_reason
from auricle.models.patchout import Kept
from bench.measures import gpu
from tests.bench.cells import number, spread
from tests.cli.command import assert_one_line, auricle
from tests.tiny import make_backbone, make_transformer

PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "torch-tensorrt")


@pytest.fixture
def model(tmp_path: Path) -> str:
    """It says that its numbers are single."""
    folder = make_transformer(tmp_path / "tiny")
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "precision": "fp32"}))
    return str(folder)


def test_rows_and_figures(model: str) -> None:
    report = gpu.measure([model], ("cpu", "torch-tensorrt"), (1, 3), ("full", "least"), runs=2)
    assert list(report.rows) == [
        "cpu, one thread, fp32, full",
        "cpu, one thread, fp32, least",
        "cpu, fp32, full, batch 1",
        "cpu, fp32, full, batch 3",
        "cpu, fp32, least, batch 1",
        "cpu, fp32, least, batch 3",
        "cpu, fp32, full, 6 streams",
    ]
    assert {row["tokens"] for row in report.rows.values()} == {65, 20}
    row = report.rows["cpu, fp32, least, batch 3"]
    assert spread(row["ms a batch"]).median == pytest.approx(3e3 / spread(row["segments/s"]).median)
    assert spread(row["x real time"]).median == pytest.approx(
        spread(row["segments/s"]).median * 76 * 256 / 16000
    )
    assert row["cosine"] == pytest.approx(1, abs=1e-6)
    own = report.rows["cpu, fp32, full, 6 streams"]
    assert 0 < number(own["p50 ms"]) <= number(own["p99 ms"])
    assert own["ms a batch"] is None
    assert spread(report.rows["cpu, one thread, fp32, full"]["times the CPU"]).median == 1
    assert report.wrong == []
    (note,) = report.notes
    assert "no torch program" in note
    assert "cpu, fp32, least, batch 3" in report.text()


def test_figures_of_durations_made_by_hand(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter([[9.0, 9.0], [0.01, 0.02], [0.03, 0.04]])

    def through(
        owner: InferenceOwner,
        streams: int,
        segments: NDArray[np.float32],
        kept: Kept | None,
        latencies: list[float],
    ) -> float:
        latencies += next(rounds)
        return 0.005

    monkeypatch.setattr(gpu, "timed", lambda work: lambda: 0.06)
    monkeypatch.setattr(gpu, "through", through)
    report = gpu.measure([model], ("cpu",), (1, 3), ("full",), runs=2)
    cpu, one, three, own = report.rows.values()
    assert spread(three["ms a batch"]).median == pytest.approx(60)
    assert spread(three["segments/s"]).median == pytest.approx(50)
    assert spread(three["x real time"]).median == pytest.approx(50 * 76 * 256 / 16000)
    assert spread(three["times the CPU"]).median == pytest.approx(3)
    assert spread(one["ms a batch"]).median == spread(cpu["ms a batch"]).median == pytest.approx(60)
    assert spread(one["times the CPU"]).median == pytest.approx(1)
    assert spread(own["segments/s"]).median == pytest.approx(200)
    # Of 10, 20, 30 and 40 ms; the warm-up does not count.
    assert own["p50 ms"] == pytest.approx(25)
    assert own["p99 ms"] == pytest.approx(39.7)


def test_seconds_of_a_segment_through_an_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    class Idle:
        def prepare(self, size: int, kept: Kept | None) -> None:
            pass

        def run(self, segments: NDArray[np.float32], kept: Kept | None) -> list[NDArray[Any]]:
            return [np.zeros((len(segments), 1), np.float32)]

    owner = InferenceOwner(Idle(), (3, 2), (1, 2), 0.0, "toy", ["nothing"])
    owner.warm([None])
    readings = iter([100.0, 124.0])
    clock = SimpleNamespace(perf_counter=lambda: next(readings), monotonic_ns=lambda: 10**18)
    monkeypatch.setattr(gpu, "time", clock)
    latencies: list[float] = []
    segments = np.zeros((2, 3, 2), np.float32)
    assert gpu.through(owner, 3, segments, None, latencies) == 2.0, (
        "24 s for four segments of each of three"
    )
    assert len(latencies) == 12


def test_wrong_numbers_are_seen(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = OnnxRunner.run

    def leaning(
        self: OnnxRunner, segments: NDArray[np.float32], kept: Kept | None
    ) -> list[NDArray[Any]]:
        found = run(self, segments, kept)
        return [each + np.float32(len(segments) > 1) for each in found]

    monkeypatch.setattr(OnnxRunner, "run", leaning)
    report = gpu.measure([model], ("cpu",), (1, 2), ("full",), runs=1)
    assert [target.what for target in report.wrong] == [
        "cpu, fp32, full, batch 2: cosine to the CPU"
    ]


def test_a_batch_that_has_no_place_is_left_out_with_a_note(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = OnnxRunner.run

    def small(
        self: OnnxRunner, segments: NDArray[np.float32], kept: Kept | None
    ) -> list[NDArray[Any]]:
        if len(segments) > 2:
            raise RuntimeError("out of\nmemory")
        return run(self, segments, kept)

    monkeypatch.setattr(OnnxRunner, "run", small)
    report = gpu.measure([model], ("cpu",), (1, 4), ("full",), runs=1)
    assert list(report.rows) == ["cpu, one thread, fp32, full", "cpu, fp32, full, batch 1"]
    assert report.notes == [
        "cpu, fp32, full, batch 4: out of memory",
        "tiny: a batch of 4 cannot be run: out of memory",
    ]


def test_what_cannot_be_measured(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a model whose patches can be left out"):
        gpu.measure([str(make_backbone(tmp_path / "plain"))], ("cpu",))
    with pytest.raises(ConfigError, match="no patchout level 'most'"):
        gpu.measure([model], ("cpu",), levels=("most",))


def test_without_a_gpu_it_says_so_in_one_line() -> None:
    if any(unusable_reason(provider) is None for provider in PROVIDERS):
        pytest.skip("there is a GPU")
    assert_one_line(
        auricle("bench", "gpu"), "no GPU to measure: cuda: ", "; torch-tensorrt: ", code=2
    )
