"""Two trees compared: turns, ratios within pairs, outputs to the bit. Nothing is timed here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle import FileTagger, Segment
from auricle.errors import AuricleError, ConfigError
from bench import against
from bench.contenders import fingerprint
from bench.headlines import Headline, headlines
from bench.report import Report
from bench.timing import Spread, silent
from bench.trees import HERE, Tree, checked_out
from tests.cli.command import assert_one_line, auricle
from tests.conftest import ROOT
from tests.tiny import make_backbone

FILE = str(ROOT / "tests/data/reference.flac")

in_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is not a git checkout")


def pipeline(speed: float) -> Report:
    report = Report("pipeline", "")
    report.row("whole pipeline", {"s": Spread(1, 1, 1, 1), "x real time": Spread(speed, 1, 9, 3)})
    return report


# -- headlines -------------------------------------------------------------------------------------


def test_headlines_are_of_rows_and_targets() -> None:
    report = Report("streams-other", "")
    report.row("7 streams", {"cores": 0.5, "p50 ms": None, "raw": 9.0})
    report.target("streams with under 0.1 % late windows, of raw", 0.8, at_least=0.85)
    report.target("a stream more, MB", None, at_most=3)
    assert list(headlines(report).values()) == [
        Headline("streams with under 0.1 % late windows, of raw", 0.8, higher_is_better=True),
        Headline("7 streams: cores", 0.5, higher_is_better=False),
    ]
    assert headlines(Report("unheard of", "")) == {}


def test_every_saved_report_has_headlines() -> None:
    for path in (ROOT / "bench/results").glob("*.json"):
        assert headlines(Report.load(path)), path


def test_better_is_more_of_a_rate_and_less_of_a_time() -> None:
    assert Headline("rate", 6.0, higher_is_better=True).times_as_good(3.0) == 2
    assert Headline("time", 6.0, higher_is_better=False).times_as_good(3.0) == 0.5
    assert Headline("lost", 0.0, higher_is_better=False).times_as_good(3.0) is None
    assert Headline("lost", 3.0, higher_is_better=False).times_as_good(0.0) is None


# -- pairs -----------------------------------------------------------------------------------------


def test_trees_take_turns_and_ratios_are_those_within_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each pair finds the machine half as fast as the one before; the new tree is twice as fast.
    order: list[str] = []

    def bench(self: Tree, name: str, options: list[str]) -> dict[str, Any]:
        order.append(self.name)
        assert (name, options) == ("pipeline", ["--quick"])
        speed = (100 if self.name == "old" else 200) / 2 ** ((len(order) - 1) // 2)
        return pipeline(speed).as_dict()

    monkeypatch.setattr(Tree, "bench", bench)
    trees = Tree("old", Path()), Tree("new", Path())
    found = against.run_pairs("pipeline", ["--quick"], trees, 3, silent)
    assert order == ["old", "new", "new", "old", "old", "new"]
    report = Report("against", "")
    against.add_figures(report, "pipeline", found)
    row = report.rows["pipeline, whole pipeline: x real time"]
    assert (row["then"], row["now"]) == (Spread(50, 25, 100, 3), Spread(100, 50, 200, 3))
    assert row["times as good"] == Spread(2, 2, 2, 3)
    (target,) = report.targets
    assert (target.seen, target.met) == (2, True)


def test_a_figure_of_one_tree_only_is_left_out_and_a_slower_tree_misses() -> None:
    report = Report("against", "")
    both = {"time": Headline("time", 2.0, higher_is_better=False)}
    one = {"rate": Headline("rate", 2.0, higher_is_better=True)}
    slower = {"time": Headline("time", 3.0, higher_is_better=False)}
    against.add_figures(report, "it", [[both, {**both, **one}], [slower, slower]])
    assert list(report.rows) == ["it, time"]
    (target,) = report.targets
    assert target.seen == pytest.approx(2 / 3)
    assert target.met is False
    assert report.wrong == []


def test_outputs_that_differ_are_wrong() -> None:
    report = Report("against", "")
    against.add_outputs(report, {"a": "1f", "b": "22"}, {"a": "1f", "b": "23"})
    assert [target.what for target in report.wrong] == ["b: outputs that differ"]
    against.add_outputs(report, {"c": "ModelError: no model"}, {"c": "ModelError: no model"})
    assert report.notes == ["c: ModelError: no model"]


# -- trees -----------------------------------------------------------------------------------------


def test_fingerprints_are_of_every_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = str(make_backbone(tmp_path / "tiny"))
    cases = [
        {"name": "right", "file": FILE, "model": model, "hop_size": 13},
        {"name": "again", "file": FILE, "model": model, "hop_size": None},
        {"name": "other hop", "file": FILE, "model": model, "hop_size": 14},
        {"name": "no model", "file": FILE, "model": str(tmp_path), "hop_size": 14},
    ]
    script = ROOT / "bench/contenders/fingerprint.py"
    found = json.loads(HERE.python([str(script)], json.dumps(cases)))
    assert found["right"] == found["again"] == fingerprint.fingerprint(FILE, model, 13)
    assert len({found["right"], found["other hop"]}) == 2
    assert "Error: " in found["no model"]

    whole = FileTagger.__iter__

    def one_bit(self: FileTagger) -> Iterator[Segment]:
        for segment in whole(self):
            label = next(iter(segment.activations))
            value = np.float32(segment.activations[label])
            segment.activations[label] = float(np.nextafter(value, np.float32(2)))
            yield segment

    monkeypatch.setattr(FileTagger, "__iter__", one_bit)
    assert fingerprint.fingerprint(FILE, model, 13) != found["right"]


@in_git
def test_a_revision_is_checked_out_and_gone_afterwards() -> None:
    with checked_out("HEAD") as tree:
        place = tree.python(
            ["-c", "import auricle, bench; print(auricle.__file__, bench.__file__)"]
        )
        assert place.split() == [
            str(tree.folder / "auricle/__init__.py"),
            str(tree.folder / "bench/__init__.py"),
        ]
        with pytest.raises(AuricleError, match="HEAD: the last line"):
            tree.python(["-c", "import sys; sys.exit('a line\\nthe last line')"])
    assert not tree.folder.exists()


@in_git
def test_what_cannot_be_compared() -> None:
    with (
        pytest.raises(ConfigError, match=r"git worktree: .*no-such-revision"),
        checked_out("no-such-revision"),
    ):
        pass
    result = auricle("bench", "against", "HEAD", "soak")
    assert_one_line(result, "no bench 'soak' to compare; choose of: ", "pipeline", code=2)
