"""Measuring the speed of a file through the whole graph, and where the time goes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from auricle.models.inference.sessions import open_session
from auricle.models.registry import find
from auricle.nodes.signal.mel import mel_spectrogram
from auricle.tagging import FileTagger
from bench.audio import decode_native
from bench.report import Figure, Report
from bench.segments import Segments
from bench.timing import Progress, Spread, alternate, silent

WHOLE = "whole pipeline"
PARTS = ("decoding", "mel", "inference", "the rest")

TOLERANCE = 1e-3
"""Largest difference of activations, where a file is resampled as a stream here and as a whole
there; 1e-6 where it is not.
"""


def measure(
    file: Path,
    model: str = "musicnn-mtt",
    hop_size: int | None = None,
    threads: int = 1,
    runs: int = 3,
    progress: Progress = silent,
) -> Report:
    """Tag `file` several times. Errors are those of `FileTagger`.

    Args:
        file: Any file that FFmpeg decodes.
        model: Name of an installed model, or its folder.
        hop_size: Mel frames from one segment to the next; None for the model card's.
        threads: Threads of one inference.
        runs: Runs that count.
        progress: Function to call with a line of progress.
    """
    tagging = _Tagging(file, model, hop_size, threads)
    measured = alternate({WHOLE: tagging}, runs, progress=progress)[WHOLE]
    stepped = Segments.of(model, hop_size)
    report = Report(
        "pipeline",
        "A file to activations, and where the time goes",
        {
            "file": file.name,
            "audio_s": tagging.audio_s,
            "model": stepped.card.name,
            "hop_size": stepped.hop_size,
            "segments": len(tagging.activations),
            "threads": threads,
            "runs": runs,
        },
    )
    progress("the same, step by step on the whole file")
    error = _difference(tagging.activations, _step_by_step(file, model, stepped))
    _fill(report, measured, tagging.parts[-runs:], error)
    return report


class _Tagging:
    """A file through `FileTagger`, again and again.

    Attributes:
        parts: Seconds by part, of every run; they add up to the time of the run.
        activations: Activations of the last run, shape `(segments, labels)`.
        audio_s: Seconds of audio in the file.
    """

    def __init__(self, file: Path, model: str, hop_size: int | None, threads: int) -> None:
        self._arguments = (file, model, hop_size, threads)
        self.parts: list[dict[str, float]] = []
        self.activations: NDArray[np.float64] = np.empty((0, 0))
        self.audio_s = 0.0

    def __call__(self) -> float:
        """Seconds of a run."""
        tagger = FileTagger(*self._arguments)
        began = time.perf_counter_ns()
        segments = list(tagger)
        wall_s = (time.perf_counter_ns() - began) / 1e9
        self.activations = np.array([list(each.activations.values()) for each in segments])
        self.audio_s = tagger.decoded_s
        self.parts.append(_parts(tagger, wall_s))
        return wall_s


def _parts(tagger: FileTagger, wall_s: float) -> dict[str, float]:
    """Seconds by part; they add up to `wall_s`."""
    elsewhere = {node.name: sum(node.elsewhere_ns.values()) / 1e9 for node in tagger.graph.order}
    assert tagger.run is not None
    parts = {
        "decoding": elsewhere["input"],
        "mel": tagger.run.spent_ns["mel"] / 1e9,
        "inference": elsewhere["backbone"],
    }
    return {**parts, "the rest": wall_s - sum(parts.values())}


def _step_by_step(file: Path, model: str, stepped: Segments) -> NDArray[np.float32]:
    """Activations without graph, rings and shared work: each step takes the whole of the last."""
    samples, sample_rate = decode_native(file)
    if sample_rate != stepped.front_end.sample_rate:
        samples = soxr.resample(samples, sample_rate, stepped.front_end.sample_rate, quality="HQ")
    mel = stepped.normalised(mel_spectrogram(samples, stepped.front_end))
    session = open_session(find(model), ("cpu",), 1)
    name = session.get_inputs()[0].name
    outputs = [
        session.run(["activations"], {name: mel[None, at : at + stepped.size]})[0][0]
        for at in range(0, len(mel) - stepped.size + 1, stepped.hop_size)
    ]
    return np.array(outputs)


def _difference(activations: NDArray[np.float64], expected: NDArray[np.float32]) -> float:
    """Largest difference; resampling may give a segment more or less at the end."""
    common = min(len(activations), len(expected))
    if abs(len(activations) - len(expected)) > 1:
        return float("inf")
    return float(np.abs(activations[:common] - expected[:common]).max()) if common else 0.0


def _fill(
    report: Report, measured: list[float], parts: list[dict[str, float]], error: float
) -> None:
    """Rows and targets of so many runs, `parts` those of each."""
    figures: dict[str, Figure] = {
        "s": Spread.of(measured),
        "% of the time": 100.0,
        "x real time": Spread.of(measured).inverse(report.settings["audio_s"]),
        "error": error,
    }
    report.row(WHOLE, figures)
    runs = list(zip(measured, parts, strict=True))
    for part in PARTS:
        seconds = [spent[part] for _, spent in runs]
        shares = [100 * spent[part] / whole for whole, spent in runs]
        report.row(part, {"s": Spread.of(seconds), "% of the time": Spread.of(shares)})
    engine = [100 * (spent["mel"] + spent["the rest"]) / whole for whole, spent in runs]
    report.target("% of the time beyond decoding and inference", Spread.of(engine), at_most=5)
    what = "difference from the same steps on the whole file"
    report.target(what, error, at_most=TOLERANCE, correctness=True)
