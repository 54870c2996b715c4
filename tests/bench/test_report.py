"""Reports: what is written can be read again, and says where it was measured."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from auricle.errors import InputError
from bench.report import Report, Target, format_number, results_folder
from bench.timing import Spread
from tests.conftest import ROOT


def report() -> Report:
    found = Report("demo", "A thing", {"hops": [16, 93]}, reference="old")
    found.row("old", {"ms": Spread(2, 1, 3, 3), "error": 0.0})
    found.row("new", {"ms": Spread(1, 0.5, 4, 3), "label": "x", "error": None})
    found.row("new", {"error": 1e-6})
    found.target("times old", Spread(2, 1, 3, 3), at_least=1.5)
    found.target("error", 1e-6, at_most=1e-3, correctness=True)
    found.target("peer", None, at_least=4)
    found.notes.append("by hand")
    found.series["new"] = [1.0, 2.0]
    return found


def test_it_is_written_and_read_again(tmp_path: Path) -> None:
    found = report()
    path = found.save(tmp_path / "some" / "folder")
    assert path == tmp_path / "some/folder/demo.json"
    content = json.loads(path.read_text())
    assert Report.from_dict(content) == found
    assert content["rows"]["new"]["ms"] == {"median": 1, "low": 0.5, "high": 4, "runs": 3}
    assert [target["met"] for target in content["targets"]] == [True, True, None]


def test_it_says_where_and_with_what(tmp_path: Path) -> None:
    content = report().as_dict()
    assert content["machine"]["cores"] >= 1
    assert content["machine"]["memory_gib"] > 0
    assert len(content["machine"]["load_average"]) == 3
    assert {"cpu", "system"} <= set(content["machine"])
    assert content["versions"]["numpy"] == np.__version__
    assert {"python", "auricle", "onnxruntime", "numba", "av", "soxr", "pyzmq"} <= set(
        content["versions"]
    )
    assert set(content["commit"]) == {"hash", "dirty"}
    if (ROOT / ".git").exists():
        assert len(content["commit"]["hash"]) == 40
        assert content["commit"]["dirty"] in (True, False)
        assert results_folder() == ROOT / "bench/results"
    assert content["utc"].endswith("+00:00")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"demo\.json"):
        report().save(tmp_path / "file")


@pytest.mark.parametrize(
    ("seen", "at_least", "at_most", "met"),
    [
        (4.0, 4.0, None, True),
        (3.9, 4.0, None, False),
        (5.0, None, 5.0, True),
        (5.1, None, 5.0, False),
        (0.0, 0.0, 0.0, True),
        (-1.0, 0.0, 0.0, False),
        (math.nan, None, 5.0, False),
        (math.inf, None, 5.0, False),
        (None, 4.0, None, None),
    ],
)
def test_targets(
    seen: float | None, at_least: float | None, at_most: float | None, met: bool | None
) -> None:
    assert Target("figure", seen, at_least, at_most).met is met


def test_only_wrong_numbers_are_wrong() -> None:
    found = report()
    assert found.wrong == []
    found.target("slow", 0.1, at_least=4)
    assert found.wrong == []
    found.target("differs", 0.1, at_most=1e-3, correctness=True)
    assert [target.what for target in found.wrong] == ["differs"]


def test_the_table() -> None:
    found = report()
    found.target("slow", 0.1, at_least=4)
    lines = found.text().splitlines()
    assert lines[0] == "A thing"
    assert "hops=16,93" in lines[1]
    assert lines[3].split() == ["ms", "error", "label"]
    assert lines[4].split() == ["old", "2", "(1..3)", "0", "-"]
    assert lines[5].split() == ["new", "1", "(0.5..4)", "1e-06", "x"]
    assert "met     times old: 2 (at least 1.5)" in lines
    assert "MISSED  slow: 0.1 (at least 4)" in lines
    assert "-       peer: not measured (at least 4)" in lines
    assert "note: by hand" in lines


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3, "3"),
        (20000, "20000"),
        (1234.5, "1234"),
        (41.23, "41.2"),
        (0.01234, "0.0123"),
        (1.3e-5, "1.3e-05"),
        (100.0, "100"),
        (math.inf, "inf"),
    ],
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert format_number(value) == text
