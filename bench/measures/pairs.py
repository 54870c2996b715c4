"""Drawing pairs for an epoch from a catalogue as large as the papers', on one core."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from auricle.errors import ConfigError
from bench.report import Report
from bench.timing import Progress, Spread, pinned, silent
from bench.workers import CONTENDERS, Worker

Epochs = Mapping[str, Sequence[Mapping[str, Any]]]
"""Answers of the contender to each epoch, by the association."""


def measure(
    tracks: int = 3_300_000,
    runs: int = 3,
    progress: Progress = silent,
    script: Path = CONTENDERS / "auricle_pairs.py",
) -> Report:
    """Time in seconds and memory in MB of an epoch of each association, on the first core.

    Args:
        tracks: Number of tracks in the catalogue.
        runs: Number of epochs that are drawn.
        progress: Function to call with a line of progress.
        script: Contender that draws them.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    try:
        from auricle.training.sampling.pairs import ASSOCIATIONS
        from bench.catalogue import write_manifest
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is needed for manifests: pip install 'auricle[train]'"
        ) from None
    report = Report(
        "pairs",
        f"Pairs of an epoch from {tracks:,} tracks, on one core",
        {"tracks": tracks, "runs": runs},
    )
    with tempfile.TemporaryDirectory() as folder:
        progress("making metadata up")
        file = Path(folder) / "manifest.parquet"
        report.notes.append(write_manifest(file, tracks))
        settings = {"file": str(file)}
        with (
            pinned((0,)),
            Worker("drawing", Path(sys.executable), script, settings, threads=1) as worker,
        ):
            report.versions |= worker.versions
            progress("reading the manifest")
            loaded = worker.ask()
            epochs = _drawn(worker, ASSOCIATIONS, runs, progress)
    report.row("manifest read, once", {"s": loaded["seconds"], "peak MB": loaded["peak_mb"]})
    _fill(report, epochs)
    return report


def _drawn(worker: Worker, associations: Sequence[str], runs: int, progress: Progress) -> Epochs:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in associations}
    for epoch in range(runs):
        for name in associations:
            progress(f"epoch {epoch + 1} of {runs}: {name}")
            found[name].append(worker.ask(association=name, epoch=epoch))
    return found


def _fill(report: Report, epochs: Epochs) -> None:
    for association, answers in epochs.items():
        pairs = Spread.of([each["pairs"] for each in answers])
        tracks = (1 if association == "track" else 2) * pairs.median
        report.row(
            association,
            {
                "s": Spread.of([each["seconds"] for each in answers]),
                "peak MB": answers[-1]["peak_mb"],
                "1000 pairs": pairs.median / 1000,
                "of the tracks": tracks / report.settings["tracks"],
                "wrong": sum(each["wrong"] for each in answers),
            },
        )
    every = [each for answers in epochs.values() for each in answers]
    wrong = sum(each["wrong"] for each in every)
    report.target("pairs that do not comply", wrong, at_most=0, correctness=True)
    runs = zip(*epochs.values(), strict=True)
    together = [sum(map(_seconds, run)) for run in runs]
    report.target("all four, s an epoch", Spread.of(together), at_most=60)
    report.target("peak memory, MB", max(each["peak_mb"] for each in every), at_most=4000)


def _seconds(answer: Mapping[str, Any]) -> float:
    return float(answer["seconds"])
