"""Tables, JSON and plots."""

import json
from pathlib import Path

import pytest

pytest.importorskip(
    "torch", reason="auricle.training.evaluation.comparison trains heads with torch"
)
pytest.importorskip("pyarrow", reason="auricle.training.data.manifest reads Parquet")

from auricle.training.evaluation.comparison import Result
from auricle.training.evaluation.report import as_json, bar_plot, curve_plot, markdown

RESULTS = [
    Result("genres", "good", "roc_auc", (0.90, 0.92), left_out=("polka",)),
    Result("genres", "good", "average_precision", (0.5, 0.5)),
    Result("genres", "good|2", "roc_auc", (0.91, 0.93)),
    Result("genres", "bad", "roc_auc", (0.50, 0.51)),
    Result("release-retrieval", "good", "mAP", (0.25,)),
    Result("release-retrieval", "bad", "mAP", (0.125,)),
]
CURVE = [
    Result("genres", model, "roc_auc", (value, value + 0.02), examples=count)
    for model in ("good", "bad")
    for count, value in ((1, 0.6), (30, 0.8))
]


def test_markdown() -> None:
    assert (
        markdown(RESULTS)
        == """\
### genres

Mean ± standard deviation of 2 runs. Left out, in one run at least: polka.

| model | ROC-AUC | average precision | rank | corrected |
| --- | ---: | ---: | ---: | ---: |
| good | 0.910 ± 0.014 | 0.500 ± 0.000 | 2 | 1 |
| good/2 | 0.920 ± 0.014 | - | 1 | 1 |
| bad | 0.505 ± 0.007 | - | 3 | 3 |

### release-retrieval

One run; no deviation is known.

| model | mAP |
| --- | ---: |
| good | 0.250 |
| bad | 0.125 |
"""
    )


def test_learning_curves() -> None:
    table = markdown(CURVE)
    assert "| ROC-AUC of | 1 a class | 30 a class |" in table
    assert "| bad | 0.610 ± 0.014 | 0.810 ± 0.014 |" in table


def test_json_has_every_value() -> None:
    rows = json.loads(as_json([*RESULTS, *CURVE]))
    assert rows[0]["values"] == [0.90, 0.92]
    assert rows[0]["deviation"] == pytest.approx(0.01414, abs=1e-5)
    assert rows[4]["deviation"] is None
    assert rows[0]["left_out"] == ["polka"]
    assert [row["examples"] for row in rows[5:8]] == [None, 1, 30]


def test_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots are matplotlib's")
    from matplotlib.image import imread

    for draw, results in ((bar_plot, RESULTS), (curve_plot, CURVE)):
        file = tmp_path / f"{draw.__name__}.png"
        draw(results, file)
        assert imread(file).std() > 0.05  # not an empty page
