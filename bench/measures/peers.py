"""Whole pipelines side by side: the same file, weights and hop, on the same cores, in turn."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError
from auricle.models.card import model_path
from auricle.models.registry import find, info
from bench.report import Report
from bench.timing import (
    Measurement,
    Spread,
    Progress,
    alternate,
    parse_cores,
    pinned,
    ratios,
    silent,
)
from bench.workers import CONTENDERS, Worker, peers_python

OURS = "auricle"


@dataclass(frozen=True, slots=True)
class Peer:
    """Someone to be compared with.

    Attributes:
        name: In the table.
        script: Contender, as in `bench/contenders/`.
        tolerance: Largest difference of its activations from ours that is not a fault.
        targets: How many times faster we ought to be, by hop in frames.
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
    """Tag `file` by everyone, at every hop.

    Args:
        file: At 16 kHz, or everyone resamples by means of their own and the numbers differ by that.
        model: An installed model by name, or its folder; its frozen graph is `graphs/NAME.pb` in
            the environment.
        hops: Frames from one segment to the next.
        cores: Numbers of the cores for all, as in `0,1`; each gets as many threads. The first, if
            left out.
        environment: The peers' virtual environment.
        runs: Rounds that count.
        peers: Whom to compare with; `PEERS`, if left out.
        progress: Called with a line that says how far it is.

    Raises:
        ConfigError: No environment, or something is missing in it.
        ModelError: A model that is not there.
    """
    python = peers_python(environment)
    card, folder = info(model), find(model)
    graph = python.parents[1] / "graphs" / f"{card.name}.pb"
    numbers = parse_cores(cores)
    settings = {
        "file": str(file.resolve()),
        "model": str(folder.resolve()),
        "onnx": str(model_path(folder, card).resolve()),
        "graph": str(graph),
        "segment_size": card.segment_size,
        "threads": len(numbers),
    }
    if not file.is_file():
        raise ConfigError(f"{file}: no such file")
    report = Report(
        "peers",
        "A file to activations, everyone in turn on the same cores",
        {
            "file": file.name,
            "model": card.name,
            "hop_frames": list(hops),
            "cores": list(numbers),
            "runs": runs,
        },
        reference=OURS,
    )
    chosen = PEERS if peers is None else tuple(peers)
    with ExitStack() as stack:
        on_cores = stack.enter_context(pinned(numbers))
        if not on_cores:
            report.notes.append(
                "this system pins nothing: the threads are limited, the cores are not"
            )
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="auricle-bench-")))
        scripts = {OURS: (Path(sys.executable), CONTENDERS / "auricle_tags.py")}
        scripts |= {peer.name: (python, peer.script) for peer in chosen}
        workers = {}
        for name, (interpreter, script) in scripts.items():
            progress(f"starting {name}")
            workers[name] = stack.enter_context(
                Worker(name, interpreter, script, settings, threads=len(numbers))
            )
            report.versions |= workers[name].versions
        for hop in hops:
            _compare(report, hop, workers, chosen, runs, scratch, progress)
    return report


def _compare(
    report: Report,
    hop: int,
    workers: dict[str, Worker],
    peers: Sequence[Peer],
    runs: int,
    scratch: Path,
    progress: Progress,
) -> None:
    """Add the rows and targets of one hop."""
    answers: dict[str, dict[str, Any]] = {}

    def measurement(name: str) -> Measurement:
        def run() -> float:
            output = str(scratch / f"{list(workers).index(name)}.npy")
            answers[name] = {"output": output, **workers[name].ask(hop_frames=hop, output=output)}
            return float(answers[name]["seconds"])

        return run

    seconds = alternate(
        {name: measurement(name) for name in workers},
        runs,
        progress=lambda line: progress(f"hop {hop}, {line}"),
    )
    report.settings["audio_s"] = audio_s = answers[OURS]["audio_s"]
    ours = np.load(answers[OURS]["output"])
    for name in workers:
        theirs = np.load(answers[name]["output"])
        report.row(
            f"hop {hop}: {name}",
            {
                "x real time": Spread.of(seconds[name]).inverse(audio_s),
                "its time / ours": ratios(seconds[name], seconds[OURS]),
                "segments": len(theirs),
                "error": difference(theirs, ours),
            },
        )
    for peer in peers:
        row = report.rows[f"hop {hop}: {peer.name}"]
        error, ratio = row["error"], row["its time / ours"]
        report.target(
            f"hop {hop}: difference of {peer.name}", error, at_most=peer.tolerance, correctness=True
        )
        if hop in dict(peer.targets):
            report.target(f"hop {hop}: times {peer.name}", ratio, at_least=dict(peer.targets)[hop])


def difference(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Largest difference of activations, shape `(segments, labels)`.

    One segment more in either is left out: whoever drops the last samples has one less. Anything
    else that does not fit is infinitely wrong.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or abs(len(a) - len(b)) > 1:
        return float("inf")
    common = min(len(a), len(b))
    return float(np.abs(a[:common] - b[:common]).max()) if common else float("inf")
