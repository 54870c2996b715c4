"""Another revision of the project against this tree: the same benches, in turn, in one session.

Each pair of runs has both trees, one right after the other, and pairs begin with either in turn.
What counts is the ratio within a pair, so a machine that is slower for a while is slower for both.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from auricle.errors import ConfigError
from auricle.models import DEFAULT_MODEL
from bench.audio import DEMO, clip
from bench.fleet import fleet
from bench.headlines import Headline, headlines
from bench.report import Figure, Report
from bench.segments import Segments
from bench.timing import Progress, Spread, silent
from bench.trees import HERE, Tree, checked_out

MODEL = "musicnn-mtt"
"""Model of the benches that are run."""

QUICK: Mapping[str, tuple[str, ...]] = {
    "backbone": ("--runs", "2"),
    "heads": ("--runs", "3"),
    "latency": ("--seconds", "20", "--runs", "1"),
    "mel": ("--runs", "3"),
    "pipeline": ("--seconds", "60", "--runs", "3"),
    "ring": ("--runs", "3"),
    "streams": ("--seconds", "8", "--runs", "1"),
    "student": ("--runs", "3"),
    "wire": ("--runs", "1"),
}
"""Options of the benches that can be compared; all revisions know them."""

NAMES = ("pipeline", "latency", "streams")
"""Benches that are run if none is named."""

STREAMS = (0.4, 0.7, 0.85)
"""Streams, as shares of what inference alone would do here."""

LEAST = 0.95
"""Least factor by which a bench must be as good, in the median of all figures and pairs. Single
figures, above all 99th percentiles, vary by more than that even if nothing has changed.
"""


Runs = list[dict[str, Headline]]
"""Headlines of each run, by name."""


def measure(
    revision: str,
    names: Sequence[str] = NAMES,
    pairs: int = 5,
    progress: Progress = silent,
) -> Report:
    """Benches of `revision` and of this tree in turn, and whether both compute the same.

    Args:
        revision: Name of a commit, as git knows it.
        names: Benches to run, of `QUICK`.
        pairs: Number of runs of each bench with each tree.
        progress: Function to call with a line before each run.

    Raises:
        ConfigError: The commit is unknown, or a bench cannot be compared.
        AuricleError: A bench fails.
    """
    unknown = [name for name in names if name not in QUICK]
    if unknown:
        raise ConfigError(f"no bench {unknown[0]!r} to compare; choose of: {', '.join(QUICK)}")
    report = Report(
        "against",
        f"This tree against {revision}: the same benches in turn",
        {"revision": revision, "benches": list(names), "pairs": pairs},
    )
    with checked_out(revision) as then:
        progress("what both compute")
        add_outputs(report, fingerprints(then), fingerprints(HERE))
        for name in names:
            options = [*QUICK[name], *(_numbers_of_streams() if name == "streams" else ())]
            add_figures(report, name, run_pairs(name, options, (then, HERE), pairs, progress))
    return report


def run_pairs(
    name: str, options: Sequence[str], trees: tuple[Tree, Tree], pairs: int, progress: Progress
) -> list[Runs]:
    """The headlines of every run: of the first tree, then of the second, by the pair."""
    found: list[Runs] = [[], []]
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 == 0 else (1, 0):
            progress(f"{name}, pair {pair + 1} of {pairs}: {trees[which].name}")
            report = Report.from_dict(trees[which].bench(name, options))
            found[which].append(headlines(report))
    return found


def add_figures(report: Report, name: str, found: Sequence[Runs]) -> None:
    """A row for each headline that all runs have, and a target for all of them together."""
    then, now = found
    runs = (*then, *now)
    every: list[float] = []
    for headline in then[0]:
        if not all(headline in run for run in runs):
            continue
        before, after = _values(then, headline), _values(now, headline)
        ratios = []
        for old, run in zip(before, now, strict=True):
            ratio = run[headline].times_as_good(old)
            ratios += [] if ratio is None else [ratio]
        figures: dict[str, Figure] = {"then": Spread.of(before), "now": Spread.of(after)}
        figures["times as good"] = Spread.of(ratios) if ratios else None
        report.row(f"{name}, {headline}", figures)
        every += ratios
    if every:
        report.target(f"{name}: times as good, all figures", Spread.of(every), at_least=LEAST)


def _values(runs: Runs, headline: str) -> list[float]:
    return [run[headline].value for run in runs]


def add_outputs(report: Report, then: Mapping[str, str], now: Mapping[str, str]) -> None:
    """A target for each case: outputs are the same to the bit."""
    for name, before in then.items():
        report.target(
            f"{name}: outputs that differ", int(before != now[name]), at_most=0, correctness=True
        )
        for text in {before, now[name]}:
            if " " in text:
                report.notes.append(f"{name}: {text}")


def fingerprints(tree: Tree) -> dict[str, str]:
    """Hashes of what a tree computes, by the case; see `contenders/fingerprint.py`."""
    script = Path(__file__).parent / "contenders" / "fingerprint.py"
    with clip(None, 30.0) as wav:
        files = {"16 kHz": str(wav), "44.1 kHz": str(DEMO)}
        cases = []
        for model, hop, rate in itertools.product((DEFAULT_MODEL, MODEL), (16, 93), files):
            name = f"{model}, {rate}, hop {hop}"
            cases.append({"name": name, "file": files[rate], "model": model, "hop_size": hop})
        found: dict[str, str] = json.loads(tree.python([str(script)], json.dumps(cases)))
    return found


def _numbers_of_streams() -> list[str]:
    """Options for numbers of streams that both trees are tried with."""
    segments = Segments.of(MODEL)
    with fleet(MODEL, segments.hop_size) as engine:
        alone = engine.raw() * segments.hop_s
    options = []
    for share in STREAMS:
        options += ["--streams", str(max(1, round(share * alone)))]
    return options
