"""The representation model: one segment in ONNX Runtime, and segments that overlap."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.models.inference.sessions import open_session
from auricle.models.registry import find
from auricle.nodes.backbone import Backbone
from auricle.nodes.mel_spectrogram import mel_axis
from auricle.nodes.predictions import Prediction
from bench.replay import Kept, Replay, run_through
from bench.report import Figure, Report
from bench.segments import Frames, Segments
from bench.timing import Measurement, Progress, Spread, alternate, percentiles, ratios, silent

PLAIN = "session.run, 1 thread"
COLUMN = "ms a segment"

SESSIONS = {PLAIN: (1, 1), "session.run, 2 threads": (2, 1), "2 workers, 1 thread each": (1, 2)}
"""Threads of the session, and callers of it, by the contender."""

BLOCK = 16
"""Frames that arrive at a time: a quarter of a second."""

TOLERANCE = 1e-4
"""Largest difference of activations: sums in another order, through some layers of float32."""


def measure(
    model: str = "musicnn-mtt",
    hops: Sequence[int] = (16, 31, 93, 187),
    segments: int = 24,
    runs: int = 3,
    progress: Progress = silent,
) -> Report:
    """Time a segment takes.

    Args:
        model: Name of an installed model, or its folder.
        hops: Frames from one segment to the next, for a `Backbone` node with and without sharing.
        segments: Segments per round.
        runs: Number of measured rounds.
        progress: Function to call with a line of progress.
    """
    plain = {name: Session(model, segments, *shape) for name, shape in SESSIONS.items()}
    nodes = {}
    for hop in hops:
        nodes[f"hop {hop}, whole segments"] = ThroughNode(model, hop, segments, shared=False)
        nodes[f"hop {hop}, shared work"] = ThroughNode(model, hop, segments, shared=True)
    report = Report(
        "backbone",
        "One segment of mel frames to activations",
        {
            "model": Segments.of(model).card.name,
            "hop_size": list(hops),
            "segments": segments,
            "runs": runs,
        },
        reference=PLAIN,
    )
    measured = alternate({**plain, **nodes}, runs, progress=progress)
    _fill(report, measured, plain, nodes)
    return report


def _fill(
    report: Report,
    measured: Mapping[str, list[float]],
    plain: Mapping[str, Session],
    nodes: Mapping[str, ThroughNode],
) -> None:
    for name, seconds in measured.items():
        figures: dict[str, Figure] = {
            COLUMN: Spread.of(seconds).scaled(1e3),
            "segments/s": Spread.of(seconds).inverse(),
            "times plain": ratios(measured[PLAIN], seconds),
        }
        if name in plain:
            found = percentiles(plain[name].seconds)
            figures |= {"p50 ms": found["p50"] * 1e3, "p99 ms": found["p99"] * 1e3}
        else:
            node = nodes[name]
            whole = nodes[f"hop {node.hop_size}, whole segments"]
            figures["hop"] = node.hop_size
            figures["error"] = float(np.abs(node.activations - whole.activations).max())
            if node.shared:
                what = f"hop {node.hop_size}: difference by sharing"
                report.target(what, figures["error"], at_most=TOLERANCE, correctness=True)
        report.row(name, figures)
    segments = report.settings["segments"]
    report.notes.append(
        f"a node's time is that of {segments} segments from the start, over {segments}"
    )


class Session:
    """A contender without a graph: ONNX Runtime on one segment, again and again.

    Args:
        model: Name of an installed model, or its folder.
        segments: Segments of a caller and a round.
        threads: Threads of the session.
        callers: Threads that call it at the same time.

    Attributes:
        seconds: Times of single segments, of all rounds.
    """

    def __init__(self, model: str, segments: int, threads: int, callers: int) -> None:
        Backbone("backbone", model=model)  # refuses a model that is not a backbone
        self.seconds: list[float] = []
        self._session = open_session(find(model), ("cpu",), threads)
        self._inputs = {self._session.get_inputs()[0].name: Segments.of(model).music(1)[None]}
        self._segments, self._callers = segments, callers

    def __call__(self) -> float:
        """Seconds a segment."""
        with ThreadPoolExecutor(self._callers) as pool:
            began = time.perf_counter_ns()
            for each in [pool.submit(self._run) for _ in range(self._callers)]:
                each.result()
            taken = (time.perf_counter_ns() - began) / 1e9
        return taken / (self._segments * self._callers)

    def _run(self) -> None:
        for _ in range(self._segments):
            began = time.perf_counter_ns()
            self._session.run(["activations"], self._inputs)
            self.seconds.append((time.perf_counter_ns() - began) / 1e9)


@dataclass
class ThroughNode:
    """A contender in a graph: segments through a `Backbone` node, whose time alone counts.

    Attributes:
        model: Name of an installed model, or its folder.
        hop_size: Frames from one segment to the next.
        segments: Segments per round.
        shared: Whether what segments share is computed once, if the model allows it.
        activations: Activations of the last round, shape `(segments, labels)`.
    """

    model: str
    hop_size: int
    segments: int
    shared: bool
    activations: NDArray[np.float32] = field(init=False)
    _mel: Frames = field(init=False)

    def __post_init__(self) -> None:
        self._mel = Segments.of(self.model, self.hop_size).music(self.segments)

    def __call__(self) -> float:
        """Seconds a segment."""
        front_end = Segments.of(self.model).front_end
        parameters: dict[str, Any] = {"model": self.model, "hop_size": self.hop_size}
        kept = Kept("kept", Prediction)
        nodes = [
            Replay("mel", self._mel, (mel_axis(front_end),), front_end.rate, BLOCK),
            Backbone("backbone", **parameters, incremental=self.shared),
            kept,
        ]
        done = run_through(nodes, [("mel", "backbone"), ("backbone.predictions", "kept")])
        self.activations = np.array([each.scores[0].activations for each in kept.tokens])
        return done.spent_ns["backbone"] / 1e9 / self.segments


def together(contenders: Sequence[ThroughNode]) -> Measurement:
    """The seconds of a segment through several, one after the other."""
    return lambda: sum(contender() for contender in contenders)
