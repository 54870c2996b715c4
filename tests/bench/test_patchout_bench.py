"""The bench of left-out patches on small models: what is compared with what."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from auricle.errors import ConfigError
from auricle.models.front_end import FRONT_ENDS
from auricle.models.inference.patches import PatchInference
from auricle.models.patchout import KEEP_F, KEEP_T, Patchout
from bench import drawings
from bench.measures import patchout, patchout_adaptive, patchout_live
from bench.measures.patchout_live import Played
from bench.report import Report
from bench.segments import music_frames
from tests.bench.cells import number, spread
from tests.tiny import GRID, make_transformer

MUSIC = music_frames(76, FRONT_ENDS["musicnn"])

ROWS = len(patchout.KEEP_EVERY) * len(patchout_live.DROPPED)


def precise(folder: Path, precision: str, seed: int, *, labelled: bool) -> str:
    """A transformer whose card says so; without activations, if it has no labels."""
    make_transformer(folder, seed=seed)
    card = json.loads((folder / "card.json").read_text()) | {"precision": precision}
    if not labelled:
        card["classes"] = []
        del card["schema"]["outputs"][0]
    (folder / "card.json").write_text(json.dumps(card))
    return str(folder)


def embedding(folder: str, every: int, dropped: int) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        f"{folder}/model.onnx", providers=["CPUExecutionProvider"]
    )
    columns, rows = GRID.kept(Patchout(keep_every=every, drop_rows=patchout_live.DROPPED[dropped]))
    mel = MUSIC[None]
    inputs = {"mel": mel, KEEP_T: np.array(columns), KEEP_F: np.array(rows)}
    found: np.ndarray = session.run(["embeddings"], inputs)[0][0]
    return found


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_closeness_is_that_of_the_labelled_exports(tmp_path: Path) -> None:
    timed = [precise(tmp_path / name, name, 1, labelled=False) for name in ("fp32", "int8")]
    labelled = [
        precise(tmp_path / f"{name}-all", name, n, labelled=True)
        for n, name in ((2, "fp32"), (3, "int8"))
    ]
    report = patchout.measure(timed, live_s=0, runs=1, labelled=labelled)
    assert len(report.rows) == 2 * ROWS
    for every, dropped in ((1, 0), (3, 4)):
        first = report.rows[f"fp32, every {every}, {dropped} rows out"]
        row = report.rows[f"int8, every {every}, {dropped} rows out"]
        found, same = embedding(labelled[1], every, dropped), embedding(labelled[0], every, dropped)
        # Vectors of eight float32 values, computed twice.
        assert row["cosine"] == pytest.approx(cosine(found, embedding(labelled[0], 1, 0)), abs=1e-5)
        assert row["cosine to the first"] == pytest.approx(cosine(found, same), abs=1e-5)
        assert "cosine to the first" not in first
        assert {"ms", "top 5"} <= first.keys() & row.keys()
    assert drawings.draw(report, tmp_path).stat().st_size > 0


def test_models_without_activations_have_no_labels_in_common(tmp_path: Path) -> None:
    report = patchout.measure(
        [precise(tmp_path / "a", "fp32", 1, labelled=False)], live_s=0, runs=1
    )
    assert report.rows["fp32, every 1, 0 rows out"]["cosine"] == pytest.approx(1)
    assert "top 5" not in report.columns()


def test_figures_are_those_of_the_times_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The segment of 76 frames has 1.216 s; the transformer takes 4 ms each time, EfficientNet 6 and
    # 8.
    model = precise(tmp_path / "a", "fp32", 1, labelled=True)

    def taken(measurements: Mapping[str, object], runs: int, **_: Any) -> dict[str, list[float]]:
        return {name: [0.006, 0.008] if "Net" in name else [0.004, 0.004] for name in measurements}

    monkeypatch.setattr(patchout, "alternate", taken)
    monkeypatch.setattr(patchout, "convolutional", lambda *_: None)
    report = patchout.measure([model], "another", live_s=0, runs=2)
    row, beside = report.rows["fp32, every 2, 3 rows out"], report.rows[patchout_live.EFFICIENTNET]
    assert [spread(each["ms"]).median for each in (row, beside)] == pytest.approx([4, 7])
    assert spread(row["x real time"]).median == pytest.approx(1.216 / 0.004)
    times = spread(row["times EfficientNet"])
    assert (times.low, times.high) == pytest.approx((1.5, 2))

    (axes, _) = drawings.DRAWINGS["patchout"](report).axes
    handles, labels = axes.get_legend_handles_labels()
    drawn: Any = handles[labels.index("fp32, 3 rows left out")]
    assert drawn[0].get_ydata()[1] == spread(row["ms"]).median


def test_two_models_of_one_precision_have_rows_of_their_own(tmp_path: Path) -> None:
    models = [
        precise(tmp_path / name, "fp32", seed, labelled=True) for seed, name in enumerate("ab")
    ]
    for name, model in zip("ab", models, strict=True):
        card = json.loads(Path(model, "card.json").read_text()) | {"name": name}
        Path(model, "card.json").write_text(json.dumps(card))
    report = patchout.measure(models, live_s=0, runs=1)
    assert len(report.rows) == 2 * ROWS
    assert number(report.rows["b, every 1, 0 rows out"]["cosine"]) < 0.999


def test_each_run_of_a_segment_projects_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[PatchInference] = []

    def keep(*arguments: Any) -> PatchInference:
        made.append(PatchInference(*arguments))
        return made[-1]

    monkeypatch.setattr(patchout, "PatchInference", keep)
    model = precise(tmp_path / "a", "fp32", 1, labelled=True)
    work = patchout.whole_segment(model, Patchout(), MUSIC)
    work()
    work()
    assert made[0].projected == 2 * GRID.columns


def test_the_same_seconds_at_half_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(patchout_live.half_overlap(38, 76)) == [0, 19, 38]
    assert len(patchout_live.half_overlap(128, 1876)) == 28
    heard: list[tuple[int, ...]] = []

    class Session:
        def get_inputs(self) -> list[Any]:
            return [SimpleNamespace(name="mel")]

        def run(self, names: None, inputs: dict[str, np.ndarray]) -> None:
            heard.append(inputs["mel"].shape)

    monkeypatch.setattr(patchout, "open_session", lambda *_: Session())
    folder = convolutional(tmp_path / "other")
    assert patchout.convolutional(str(folder), MUSIC)() > 0
    assert heard == [(1, 38, 96)] * 3
    with pytest.raises(ConfigError, match="segments fit into 37 frames"):
        patchout.convolutional(str(folder), MUSIC[:37])


def test_closeness_of_hand_made_outputs() -> None:
    full = {
        "embeddings": np.array([[3.0, 4.0]], np.float32),
        "activations": np.array([[9.0, 8, 7, 6, 5, 0, 1]], np.float32),
    }
    found = {
        "embeddings": np.array([[4.0, 3.0]], np.float32),
        "activations": np.array([[9.0, 8, 7, 0, 1, 5, 6]], np.float32),
    }
    assert patchout.closeness(found, full) == {"cosine": pytest.approx(0.96), "top 5": 3 / 5}
    few = {"activations": np.array([[1.0, 2.0]], np.float32)}
    assert patchout.closeness(few, few) == {"top 5": 1}


def test_rows_left_out_are_the_thesis() -> None:
    """Section 6.3.8: the first and the two last, or the two first and the two last, of nine."""
    assert patchout_live.DROPPED == {0: (), 3: (0, 7, 8), 4: (0, 1, 7, 8)}


def test_segments_left_out_are_counted_for_whatever_reason() -> None:
    port = SimpleNamespace(stream=SimpleNamespace(written=12))
    node: Any = SimpleNamespace(
        outputs={"embeddings": port},
        counts={"hop": 2, "overload": 1},
        elsewhere_ns={"inference": 3_000_000},
    )
    found = patchout_live.played(node)
    assert found == Played(given=12, left_out=3, inference_s=0.003)
    assert found.served == 9
    assert found.segment_s == pytest.approx(0.003 / 9)


def test_a_live_stream_that_left_segments_out_misses(tmp_path: Path) -> None:
    report = Report("patchout", "", {})
    model = precise(tmp_path / "a", "fp32", 1, labelled=True)
    plan = ("fp32", 60, Patchout(keep_every=2))
    patchout_live.add_stream(report, model, plan, 1, play=lambda *_: Played(12, 2, 0.05))
    assert list(report.rows.values()) == [
        {"predictions": 10, "left out": 2, "ms": pytest.approx(5)}
    ]
    assert [target.met for target in report.targets] == [False]


@pytest.mark.parametrize(
    ("rungs", "met"),
    [
        ((0, 0, 1, 2, 1, 0), [True, True, True]),
        ((0, 0, 0, 0, 0, 0), [True, False, True]),
        ((0, 0, 9, 9, 0, 0), [True, False, True]),
        ((0, 0, 1, 2, 1, 1), [True, True, False]),
    ],
    ids=["down and back", "never moved", "beyond the levels", "not back"],
)
def test_the_adaptive_stream_goes_down_and_comes_back(
    tmp_path: Path, rungs: tuple[int, ...], met: list[bool]
) -> None:
    processes: list[subprocess.Popen[bytes]] = []
    report = adaptive(tmp_path, iter(rungs), processes)
    assert [target.met for target in report.targets] == met
    assert [process.poll() is not None for process in processes] == [True]
    assert report.series["adaptive: rung"] == [float(rung) for rung in rungs]


def test_the_second_process_is_gone_if_the_stream_fails(tmp_path: Path) -> None:
    def failing() -> Iterator[int]:
        yield 0
        yield 0
        yield 0
        raise OSError("gone")

    processes: list[subprocess.Popen[bytes]] = []
    with pytest.raises(OSError, match="gone"):
        adaptive(tmp_path, failing(), processes)
    assert [process.poll() is not None for process in processes] == [True]


def adaptive(
    folder: Path, rungs: Iterator[int], processes: list[subprocess.Popen[bytes]]
) -> Report:
    """A run of which every look finds the next rung, the second process there from the first."""
    ladder = SimpleNamespace(rung=0)

    def wait(seconds: float) -> bool:
        try:
            ladder.rung = next(rungs)
        except StopIteration:
            return True
        return False

    @contextmanager
    def engine(*_: Any) -> Iterator[Any]:
        port = SimpleNamespace(stream=SimpleNamespace(written=9))
        node = SimpleNamespace(
            outputs={"embeddings": port}, counts={}, elsewhere_ns={"inference": 0}
        )
        yield SimpleNamespace(wait=wait, ladder=ladder), node

    def burn() -> subprocess.Popen[bytes]:
        processes.append(patchout_adaptive.burn())
        return processes[-1]

    report = Report("patchout", "", {})
    model = precise(folder / "a", "fp32", 1, labelled=True)
    phases = patchout_adaptive.Phases(calm_s=-100.0, busy_s=1000.0)
    patchout_adaptive.measure(report, model, 0.1, phases, engine, burn)
    return report


def convolutional(folder: Path) -> Path:
    """A model of segments of 38 frames, by its card."""
    make_transformer(folder, seed=2)
    card = json.loads((folder / "card.json").read_text())
    changed = card | {"segment_size": 38, "patch_grid": None, "patchout": []}
    (folder / "card.json").write_text(json.dumps(changed))
    return folder


def test_live_streams_are_compared_over_the_same_seconds(tmp_path: Path) -> None:
    transformer = precise(tmp_path / "int8", "int8", 1, labelled=False)
    other = convolutional(tmp_path / "other")
    heard: list[tuple[str, int]] = []

    def play(model: str, parameters: Mapping[str, Any], seconds: float) -> Played:
        assert seconds == 2
        heard.append((model, parameters["hop_size"]))
        if model == transformer:
            return Played(5, 1, 4 * 0.012)
        return Played(10, 0, 10 * 0.006)

    report = Report("patchout", "", {})
    patchout_live.add_beside(report, transformer, str(other), 2, 2, play=play)
    assert sorted(heard) == [(transformer, 60)] * 2 + [(str(other), 19)] * 2
    row, beside = report.rows.values()
    assert (row["predictions"], row["left out"]) == (8, 2)
    assert (beside["predictions"], beside["left out"]) == (20, 0)
    assert [spread(each["ms"]).median for each in (row, beside)] == pytest.approx([12, 18])
    assert spread(row["times EfficientNet"]).median == pytest.approx(1.5)
    assert [target.met for target in report.targets] == [False, False]


def test_a_stream_is_played_in_real_time_to_its_end(tmp_path: Path) -> None:
    model = precise(tmp_path / "a", "fp32", 1, labelled=True)
    found = patchout_live.play(model, {"hop_size": 20}, 0.5)
    # The segment of 76 frames, and half a second.
    frames = 1 + -(-round((76 * 256 / 16000 + 0.5) * 16000) // 256)
    assert found.given == (frames - 76) // 20 + 1
    assert found.inference_s > 0


def test_live_segments_share_their_patches() -> None:
    for (_, hop, _), seconds in zip(
        (*patchout_live.LIVE, patchout_live.CHEAPEST), (1, 0.25, 1), strict=True
    ):
        assert hop % 10 == 0, "MAEST's stride"
        assert hop * 0.016 <= seconds
