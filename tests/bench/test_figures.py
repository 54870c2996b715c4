"""Tables of figures: the reports have what they quote, and the pages quote the current reports."""

from pathlib import Path

import pytest

from auricle.errors import ConfigError, InputError
from bench.figures import Line, span, table, updated
from bench.held import held_in_all, held_in_most, steps
from bench.quoted import TABLES
from bench.report import Report
from bench.timing import Spread
from tests.cli.command import assert_one_line, auricle
from tests.conftest import ROOT
from tests.docs.blocks import pages

RESULTS = ROOT / "bench/results"
PAGES = [ROOT / page for page in pages()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_quote_what_the_results_say(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert updated(text, TABLES, RESULTS) == text, f"run: auricle bench figures {page}"


def test_every_table_can_be_made_and_is_printed() -> None:
    for name, lines in TABLES.items():
        made = table(lines, RESULTS)
        assert made.count("\n| ") == len(lines)
        assert "WRONG" not in made
        assert auricle("bench", "figures", "--table", name).stdout == f"{made}\n"
    result = auricle("bench", "figures", "--table", "long")
    assert_one_line(result, "no table 'long'; tables are: short, all", code=2)


# -- tables of reports made here -------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    machine = {"cpu": "Abacus", "usable_cores": 2, "cores": 4, "memory_gib": 23.5}
    report = Report("speed", "", {"tracks": 3_300_000}, machine=machine)
    report.commit = {"hash": "0123456789", "dirty": True}
    report.row("fast", {"ms": Spread(1.234567, 1, 2, 3), "note": "words", "none": None})
    report.target("memory, MB", 0.5, at_most=1)
    report.save(tmp_path)
    return tmp_path


LINES = (
    Line("speed", "{setting: tracks} tracks", "{fast | ms} ms, {target: memory} MB"),
    Line("speed", "Title", lambda report: report.name),
)
MADE = """\
| what | figure |
|---|---|
| 3300000 tracks | 1.23 ms, 0.5 MB |
| Title | speed |

Measured on 2 cores of an Abacus, 24 GiB: speed at commit 0123456 and uncommitted changes."""


def test_a_table_of_figures_and_where_they_come_from(folder: Path) -> None:
    assert table(LINES, folder) == MADE


def test_a_page_keeps_what_is_around_its_tables(folder: Path) -> None:
    page = "above\n<!-- figures it -->\n<!-- /figures -->\nbetween\n" * 2
    once = updated(page, {"it": LINES}, folder)
    assert once == page.replace("-->\n<!-- /", f"-->\n{MADE}\n<!-- /")
    assert updated(once, {"it": LINES}, folder) == once
    stale = once.replace("1.23", "1.22")
    assert updated(stale, {"it": LINES}, folder) == once


@pytest.mark.parametrize(
    "quote",
    [
        "{slow | ms}",
        "{fast | s}",
        "{fast | note}",
        "{fast | none}",
        "{target: speed}",
        "{setting: x}",
    ],
)
def test_a_figure_that_is_not_there(folder: Path, quote: str) -> None:
    with pytest.raises(ConfigError, match=r"speed\.json has no figure"):
        table([Line("speed", "", quote)], folder)


def test_pages_and_reports_that_cannot_be_used(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no table 'that'; tables are: it"):
        updated("<!-- figures that -->\n<!-- /figures -->", {"it": LINES}, folder)
    with pytest.raises(ConfigError, match="has no <!-- /figures --> after it"):
        updated("<!-- figures it -->\nwords", {"it": LINES}, folder)
    with pytest.raises(InputError, match=r"other\.json: No such file"):
        table([Line("other", "", "")], folder)
    for content in ("", "[]", "{}", '{"rows": {}, "targets": [], "words": 1}'):
        (folder / "other.json").write_text(content)
        with pytest.raises(InputError, match=r"other\.json: not a report"):
            table([Line("other", "", "")], folder)


# -- numbers of streams ----------------------------------------------------------------------------


def streams(late: dict[tuple[int, int], float]) -> Report:
    """A report of two runs, by the run and the number of streams."""
    report = Report("streams", "")
    for (run, number), percent in late.items():
        figures = {"raw": 100.0, "late %": percent, "p50 ms": 1.0, "p99 ms": 2.0}
        report.row(f"{number} streams, run {run}", figures)
    return report


def test_what_is_held_by_most_runs_and_by_all() -> None:
    late = {(1, 40): 0.0, (1, 80): 0.0, (1, 90): 0.0, (1, 99): 5.0}
    late |= {(2, 41): 0.0, (2, 82): 0.05, (2, 92): 0.0, (2, 100): 0.0}
    late |= {(3, 41): 0.0, (3, 81): 0.0, (3, 91): 9.0, (3, 98): 7.0}
    tried = steps(streams(late))
    assert [trial.streams for trial in tried[1]] == [80, 82, 81]
    assert [trial.streams for trial in held_in_all(tried)] == [80, 82, 81]
    assert [trial.streams for trial in held_in_most(tried)] == [90, 92, 91]
    assert held_in_all(tried)[1].of_raw == 0.82


def test_nothing_above_a_number_that_was_not_held_counts() -> None:
    tried = steps(streams({(1, 10): 1.0, (1, 20): 0.0}))
    assert held_in_all(tried) == held_in_most(tried) == []


def test_one_run_has_no_number_in_its_rows() -> None:
    report = Report("streams", "")
    report.row("7 streams", {"raw": 10.0, "late %": 0.0, "p50 ms": 1.0, "p99 ms": 2.0})
    (((trial,)),) = steps(report)
    assert (trial.run, trial.streams, trial.of_raw) == (1, 7, 0.7)


def test_spans() -> None:
    assert span([3, 1, 2]) == "1 to 3"
    assert span([0.5, 0.5]) == "0.5"
