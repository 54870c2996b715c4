"""The representation model: one segment in ONNX Runtime, and segments that overlap."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.models.front_end import FRONT_ENDS
from auricle.models.inference.sessions import open_session
from auricle.models.registry import find, info
from auricle.nodes.backbone import Backbone
from auricle.nodes.mel_spectrogram import mel_axis
from auricle.nodes.predictions import Prediction
from auricle.nodes.signal.mel import mel_spectrogram
from bench.audio import DEMO, chord, decode
from bench.replay import Kept, Replay, run_through
from bench.report import Report
from bench.timing import Measurement, Progress, Spread, alternate, percentiles, ratios, silent

PLAIN = "session.run, 1 thread"
COLUMN = "ms a segment"

BLOCK = 16
"""Frames that arrive at a time: a quarter of a second."""

TOLERANCE = 1e-4
"""Of activations: sums in another order, through some layers of float32."""


def measure(
    model: str = "musicnn-mtt",
    hops: Sequence[int] = (16, 31, 93, 187),
    segments: int = 24,
    runs: int = 3,
    progress: Progress = silent,
) -> Report:
    """Time a segment takes.

    Args:
        model: An installed model by name, or its folder.
        hops: Frames from one segment to the next, for a `Backbone` node with and without sharing.
        segments: How many make a round.
        runs: Rounds that count.
        progress: Called with a line that says how far it is.
    """
    report = Report(
        "backbone",
        "One segment of mel frames to activations",
        {"model": info(model).name, "hop_frames": list(hops), "segments": segments, "runs": runs},
        reference=PLAIN,
    )
    latencies: dict[str, list[float]] = {}
    outputs: dict[tuple[int, bool], NDArray[np.float32]] = {}
    measurements = _sessions(model, segments, latencies)
    nodes = {_node_name(hop, shared): (hop, shared) for hop in hops for shared in (False, True)}
    for name, (hop, shared) in nodes.items():
        measurements[name] = through_node(model, hop, shared, segments, outputs)
    measured = alternate(measurements, runs, progress=progress)
    for name, seconds in measured.items():
        figures: dict[str, Any] = {
            COLUMN: Spread.of(seconds).scaled(1e3),
            "segments/s": Spread.of(seconds).inverse(),
            "times plain": ratios(measured[PLAIN], seconds),
        }
        if name in nodes:
            hop, shared = nodes[name]
            figures |= {
                "hop": hop,
                "error": float(np.abs(outputs[hop, shared] - outputs[hop, False]).max()),
            }
        else:
            found = percentiles(latencies[name])
            figures |= {"p50 ms": found["p50"] * 1e3, "p99 ms": found["p99"] * 1e3}
        report.row(name, figures)
    for hop in hops:
        error = report.rows[_node_name(hop, True)]["error"]
        report.target(
            f"hop {hop}: difference by sharing", error, at_most=TOLERANCE, correctness=True
        )
    report.notes.append(
        f"a node's time is that of {segments} segments from the start, over {segments}"
    )
    return report


def frames_of_music(count: int, front_end: str) -> NDArray[np.float32]:
    """Mel frames of the demo clip, again and again, shape `(count, n_mels)`."""
    music = mel_spectrogram(decode(DEMO) if DEMO.is_file() else chord(), FRONT_ENDS[front_end])
    return np.resize(music, (count, music.shape[1]))


def _front_end(model: str) -> str:
    front_end = info(model).front_end
    return front_end.name if front_end else "musicnn"


def _node_name(hop: int, shared: bool) -> str:
    return f"hop {hop}, {'shared work' if shared else 'whole segments'}"


def _sessions(
    model: str, segments: int, latencies: dict[str, list[float]]
) -> dict[str, Measurement]:
    """Contenders without a graph; each adds the seconds of single segments to `latencies`."""
    folder = find(model)
    Backbone("backbone", model=model)  # refuses what is no backbone
    size = info(model).segment_size
    assert size is not None
    segment = frames_of_music(size, _front_end(model))[None]

    def one(session: Any, name: str) -> None:
        for _ in range(segments):
            began = time.perf_counter_ns()
            session.run(["activations"], {session.get_inputs()[0].name: segment})
            latencies.setdefault(name, []).append((time.perf_counter_ns() - began) / 1e9)

    def contender(name: str, threads: int, workers: int) -> Measurement:
        session = open_session(folder, ("cpu",), threads)

        def run() -> float:
            with ThreadPoolExecutor(workers) as pool:
                began = time.perf_counter_ns()
                for each in [pool.submit(one, session, name) for _ in range(workers)]:
                    each.result()
                return (time.perf_counter_ns() - began) / 1e9 / (segments * workers)

        return run

    shapes = {PLAIN: (1, 1), "session.run, 2 threads": (2, 1), "2 workers, 1 thread each": (1, 2)}
    return {name: contender(name, *shape) for name, shape in shapes.items()}


def through_node(
    model: str,
    hop: int,
    shared: bool,
    segments: int,
    outputs: dict[tuple[int, bool], NDArray[np.float32]],
) -> Measurement:
    """Seconds a segment of a `Backbone` node in a graph, whose time alone counts.

    Args:
        model: An installed model by name, or its folder.
        hop: Frames from one segment to the next.
        shared: Whether what segments share is computed once, if the model allows it.
        segments: How many make a round.
        outputs: Is given the activations, under (hop, shared).
    """
    front_end = FRONT_ENDS[_front_end(model)]
    size = info(model).segment_size
    assert size is not None
    mel = frames_of_music(size + (segments - 1) * hop, front_end.name)

    def run() -> float:
        source = Replay("mel", mel, (mel_axis(front_end),), front_end.rate, BLOCK)
        node = Backbone("backbone", model=model, hop_size=hop, incremental=shared)
        kept = Kept("kept", Prediction)
        done = run_through(
            [source, node, kept], [("mel", "backbone"), ("backbone.predictions", "kept")]
        )
        outputs[hop, shared] = np.array([each.scores[0].activations for each in kept.tokens])
        return done.spent_ns["backbone"] / 1e9 / segments

    return run
