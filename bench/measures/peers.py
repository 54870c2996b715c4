"""Whole pipelines side by side: the same file, weights and hop, on the same cores, in turn."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError
from auricle.models.card import model_path
from auricle.models.registry import find, info
from bench.report import Report
from bench.timing import Progress, Spread, alternate, parse_cores, pinned, ratios, silent
from bench.workers import CONTENDERS, Worker, peers_python

OURS = "auricle"


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that we are compared with.

    Attributes:
        name: Name in the table.
        script: Script of its contender, in `bench/contenders/`.
        tolerance: Largest difference of its activations from ours that is not a fault.
        targets: Factors by which we ought to be faster, by hop in frames.
    """

    name: str
    script: Path
    tolerance: float
    targets: tuple[tuple[int, float], ...] = ()


PEERS = (
    # Essentia's mel tables are float32, ours float64; through the network that is some 1e-5.
    Peer("essentia", CONTENDERS / "essentia_tags.py", 1e-3, ((93, 4.0), (16, 8.0))),
    Peer("librosa + ONNX Runtime", CONTENDERS / "librosa_onnx.py", 1e-3),
)


def measure(
    file: Path,
    model: str = "musicnn-mtt",
    hops: Sequence[int] = (93, 16),
    cores: str | None = None,
    environment: Path | None = None,
    runs: int = 3,
    peers: Sequence[Peer] | None = None,
    progress: Progress = silent,
) -> Report:
    """Tag `file` by every program, at every hop.

    Args:
        file: File at 16 kHz, or each resamples in its own way and the numbers differ by that.
        model: Name of an installed model, or its folder; its frozen graph is `graphs/NAME.pb` in
            the environment.
        hops: Frames from one segment to the next.
        cores: Numbers of the cores for all, as in `0,1`; each gets as many threads. The first, if
            left out.
        environment: The peers' virtual environment.
        runs: Number of measured rounds.
        peers: Programs to compare with; `PEERS`, if left out.
        progress: Function to call with a line of progress.

    Raises:
        ConfigError: No environment, or something is missing in it.
        ModelError: A model that is not there.
    """
    python = peers_python(environment)
    numbers = parse_cores(cores)
    settings = _settings(file, model, python, len(numbers))
    chosen = PEERS if peers is None else tuple(peers)
    scripts = {OURS: (Path(sys.executable), CONTENDERS / "auricle_tags.py")}
    scripts |= {peer.name: (python, peer.script) for peer in chosen}
    report = Report(
        "peers",
        "A file to activations, each program in turn on the same cores",
        {
            "file": file.name,
            "model": info(model).name,
            "hop_size": list(hops),
            "cores": list(numbers),
            "runs": runs,
        },
        reference=OURS,
    )
    with pinned(numbers) as on_cores, _started(scripts, settings, progress) as taggers:
        if not on_cores:
            report.notes.append("this system cannot pin cores: only the threads are limited")
        for tagger in taggers.values():
            report.versions |= tagger.worker.versions
        for hop in hops:
            _compare(report, hop, taggers, runs, progress)
            for peer in chosen:
                _add_targets(report, hop, peer)
    return report


def _settings(file: Path, model: str, python: Path, threads: int) -> dict[str, Any]:
    """Settings of all contenders."""
    if not file.is_file():
        raise ConfigError(f"{file}: no such file")
    card, folder = info(model), find(model)
    return {
        "file": str(file.resolve()),
        "model": str(folder.resolve()),
        "onnx": str(model_path(folder, card).resolve()),
        "graph": str(python.parents[1] / "graphs" / f"{card.name}.pb"),
        "segment_size": card.segment_size,
        "threads": threads,
    }


class _Tagger:
    """A contender that tags the file.

    Args:
        worker: Process of the contender.
        output: File for its activations.

    Attributes:
        hop_size: Frames from one segment to the next, of the next run.
        audio_s: Seconds of audio in the file, if it says so.
    """

    def __init__(self, worker: Worker, output: Path) -> None:
        self.worker, self._output = worker, output
        self.hop_size = 1
        self.audio_s = 0.0

    def __call__(self) -> float:
        """Seconds of a run."""
        answer = self.worker.ask(hop_size=self.hop_size, output=str(self._output))
        self.audio_s = answer.get("audio_s", self.audio_s)
        return float(answer["seconds"])

    def activations(self) -> NDArray[np.float32]:
        """Activations of the last run, shape `(segments, labels)`."""
        found: NDArray[np.float32] = np.load(self._output)
        return found


@contextmanager
def _started(
    scripts: Mapping[str, tuple[Path, Path]], settings: Mapping[str, Any], progress: Progress
) -> Iterator[dict[str, _Tagger]]:
    """The contenders by name, of which each has an interpreter and a script."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="auricle-bench-")))
        taggers = {}
        for number, (name, (interpreter, script)) in enumerate(scripts.items()):
            progress(f"starting {name}")
            worker = Worker(name, interpreter, script, settings, threads=settings["threads"])
            stack.enter_context(worker)
            taggers[name] = _Tagger(worker, scratch / f"{number}.npy")
        yield taggers


def _compare(
    report: Report, hop: int, taggers: Mapping[str, _Tagger], runs: int, progress: Progress
) -> None:
    """Add the rows of one hop."""
    for tagger in taggers.values():
        tagger.hop_size = hop
    seconds = alternate(taggers, runs, progress=lambda line: progress(f"hop {hop}, {line}"))
    report.settings["audio_s"] = audio_s = taggers[OURS].audio_s
    ours = taggers[OURS].activations()
    for name, tagger in taggers.items():
        theirs = tagger.activations()
        report.row(
            f"hop {hop}: {name}",
            {
                "x real time": Spread.of(seconds[name]).inverse(audio_s),
                "its time / ours": ratios(seconds[name], seconds[OURS]),
                "segments": len(theirs),
                "error": difference(theirs, ours),
            },
        )


def _add_targets(report: Report, hop: int, peer: Peer) -> None:
    row = report.rows[f"hop {hop}: {peer.name}"]
    what = f"hop {hop}: difference of {peer.name}"
    report.target(what, row["error"], at_most=peer.tolerance, correctness=True)
    for at, least in peer.targets:
        if at == hop:
            what = f"hop {hop}: times {peer.name}"
            report.target(what, row["its time / ours"], at_least=least)


def difference(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Largest difference of activations, shape `(segments, labels)`.

    One segment more in either is left out: a program that drops the last samples has one less. Any
    other difference of the shapes is infinitely wrong.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or abs(len(a) - len(b)) > 1:
        return float("inf")
    common = min(len(a), len(b))
    return float(np.abs(a[:common] - b[:common]).max()) if common else float("inf")
