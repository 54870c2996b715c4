"""The bench of left-out patches on small models: what is compared with what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from bench import drawings, patchout
from bench.report import Report
from bench.timing import silent
from models.patchout import KEEP_F, KEEP_T, Patchout
from tests.tiny import GRID, make_transformer

ROWS = len(patchout.KEEP_EVERY) * len(patchout.DROPPED)


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
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
    columns, rows = GRID.kept(Patchout(keep_every=every, drop_rows=patchout.DROPPED[dropped]))
    mel = patchout._music(76)[None]
    inputs = {"mel": mel, KEEP_T: np.array(columns), KEEP_F: np.array(rows)}
    return session.run(["embeddings"], inputs)[0][0]


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_closeness_is_that_of_the_labelled_exports(tmp_path: Path) -> None:
    timed = [precise(tmp_path / name, name, 1, labelled=False) for name in ("fp32", "int8")]
    labelled = [
        precise(tmp_path / f"{name}-all", name, n, labelled=True) for n, name in ((2, "fp32"), (3, "int8"))
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
    assert drawings.patchout(report, tmp_path).stat().st_size > 0


def test_models_without_activations_have_no_labels_in_common(tmp_path: Path) -> None:
    report = patchout.measure([precise(tmp_path / "a", "fp32", 1, labelled=False)], live_s=0, runs=1)
    assert report.rows["fp32, every 1, 0 rows out"]["cosine"] == pytest.approx(1)
    assert "top 5" not in report.columns()


def test_live_streams_are_compared_over_the_same_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformer = precise(tmp_path / "int8", "int8", 1, labelled=False)
    other = make_transformer(tmp_path / "other", seed=2)
    played: list[tuple[str, int]] = []

    def play(model: str, params: Mapping[str, Any], seconds: float) -> tuple[int, int, float]:
        assert seconds == 2
        played.append((model, params["hop_size"]))
        return (5, 1, 4 * 0.012) if model == transformer else (10, 0, 10 * 0.006)

    # A segment of 76 frames has three of 38 at half overlap.
    card = json.loads((other / "card.json").read_text()) | {
        "segment_size": 38,
        "patch_grid": None,
        "patchout": [],
    }
    (other / "card.json").write_text(json.dumps(card))
    monkeypatch.setattr(patchout, "_played", play)
    report = Report("patchout", "", {})
    patchout._live_beside(report, transformer, str(other), 2, 2, silent)
    assert sorted(played) == [(transformer, 60)] * 2 + [(str(other), 19)] * 2
    row, beside = report.rows.values()
    assert (row["predictions"], row["left out"], row["ms"].median) == (8, 2, pytest.approx(12))
    assert (beside["predictions"], beside["left out"], beside["ms"].median) == (20, 0, pytest.approx(18))
    assert row["times EfficientNet"].median == pytest.approx(1.5)
    assert [target.met for target in report.targets] == [False, False]


def test_live_segments_share_their_patches() -> None:
    for (_, hop, _), seconds in zip((*patchout.LIVE, patchout.CHEAPEST), (1, 0.25, 1), strict=True):
        assert hop % 10 == 0, "MAEST's stride"
        assert hop * 0.016 <= seconds
