"""Results measured again: what runs, when it refuses, and how a report compares with the last."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from auricle.errors import AuricleError, ConfigError
from bench import rerun
from bench.headlines import comparison
from bench.report import Report
from bench.timing import Spread
from tests.cli.command import assert_one_line, auricle
from tests.conftest import ROOT


def test_there_is_a_step_for_every_saved_report() -> None:
    saved = {path.stem for path in (ROOT / "bench/results").glob("*.json")}
    assert saved <= {step.name for step in rerun.STEPS}


def test_steps_by_name_quick_ones_and_all() -> None:
    assert [step.name for step in rerun.chosen(["soak", "ring"])] == ["soak", "ring"]
    assert {step.name for step in rerun.chosen(every=True)} == {step.name for step in rerun.STEPS}
    quick = rerun.chosen()
    assert 0 < len(quick) < len(rerun.STEPS)
    assert max(step.minutes for step in quick) <= 5
    with pytest.raises(ConfigError, match="no report 'rings'; reports are: ring, "):
        rerun.chosen(["rings"])


def test_the_list_says_how_long_each_takes() -> None:
    result = auricle("bench", "rerun", "--list", "soak", "patchout")
    soak, patchout = result.stdout.splitlines()
    assert soak.split() == ["soak", "about", "9", "min"]
    assert patchout.endswith("min, needs torch: pip install 'auricle[train]'")
    assert_one_line(auricle("bench", "rerun", "rings"), "no report 'rings'", code=2)


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A tree without changes, and a folder for results."""
    monkeypatch.setattr(rerun, "commit", lambda: {"hash": "0", "dirty": False})
    monkeypatch.setattr(rerun, "results_folder", lambda: tmp_path)
    return tmp_path


STEPS = [rerun.Step("ring", 1), rerun.Step("streams-x", 1, command=("streams", "--model", "x"))]


def test_steps_run_in_turn_and_are_drawn(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[list[str]] = []
    drawn: list[str] = []
    lines: list[str] = []

    def launch(arguments: Sequence[str]) -> bool:
        launched.append(list(arguments))
        Report("ring" if "ring" in arguments else "streams-x", "").save(clean)
        return True

    monkeypatch.setattr(rerun, "draw", lambda report, folder: drawn.append(report.name))
    rerun.run(STEPS, lines.append, launch)
    assert launched == [["ring", "--save"], ["streams", "--model", "x", "--save"]]
    assert drawn == ["streams-x"], "rings have no picture"
    assert lines[1].startswith("ring: done in ")
    assert "auricle bench figures" in lines[-1]


def test_one_that_fails_does_not_keep_the_others_from_running(
    clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeeds = iter([False, True])
    drawn: list[str] = []
    Report("streams-x", "").save(clean)
    monkeypatch.setattr(rerun, "draw", lambda report, folder: drawn.append(report.name))
    with pytest.raises(AuricleError, match=r"^failed: ring$"):
        rerun.run(STEPS, lambda line: None, lambda arguments: next(succeeds))
    assert drawn == ["streams-x"]


@pytest.mark.parametrize("dirty", [True, None])
def test_a_tree_with_changes_is_refused(
    dirty: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerun, "commit", lambda: {"hash": None, "dirty": dirty})
    with pytest.raises(ConfigError, match="tracked files are changed"):
        rerun.run(STEPS, lambda line: None, lambda arguments: True)


@pytest.mark.usefixtures("clean")
def test_without_the_peers_their_rows_are_not_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AURICLE_PEERS", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="make peers"):
        rerun.run(
            [rerun.Step("mel", 1, needs="make peers")], lambda line: None, lambda arguments: True
        )


# -- against the last ------------------------------------------------------------------------------


def pipeline(speed: float, **settings: int) -> Report:
    report = Report("pipeline", "", settings, utc="2026-01-02T03:04:05+00:00")
    report.commit = {"hash": "0123456789", "dirty": True}
    report.row("whole pipeline", {"x real time": Spread(speed, 1, 999, 3)})
    return report


def test_a_report_is_compared_with_the_one_it_replaces(tmp_path: Path) -> None:
    path = pipeline(160, threads=1).save(tmp_path)
    assert comparison(path, pipeline(200, threads=1)) == [
        "compared with pipeline.json of 2026-01-02, commit 0123456 and uncommitted changes:",
        "  whole pipeline: x real time: 160 -> 200, 1.25 times as good",
    ]


def test_it_is_said_that_the_circumstances_differ(tmp_path: Path) -> None:
    path = pipeline(160, threads=1).save(tmp_path)
    now = pipeline(200, threads=2)
    now.machine = {**now.machine, "cpu": "Abacus"}
    assert comparison(path, now)[1:3] == ["  the settings differ", "  the machines differ"]


def test_there_is_nothing_to_compare_the_first_with(tmp_path: Path) -> None:
    assert comparison(tmp_path / "pipeline.json", pipeline(1)) == []
    (tmp_path / "pipeline.json").write_text("words")
    assert comparison(tmp_path / "pipeline.json", pipeline(1)) == []


def test_saving_shows_the_comparison(tmp_path: Path) -> None:
    options = ["ring", "--window", 0.5, "--runs", 1, "--results", tmp_path]
    assert "compared" not in auricle("bench", *options).stderr
    shown = auricle("bench", *options).stderr.splitlines()
    assert shown[0].startswith("compared with ring.json of ")
    assert [line.split(":")[0].strip() for line in shown[1:]] == ["Ring", "Stream", "written"]
