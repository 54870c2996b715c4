"""How fast a file goes through the whole graph, and where the time goes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from auricle.models.front_end import FRONT_ENDS
from auricle.models.inference.sessions import open_session
from auricle.models.registry import find
from auricle.nodes.signal.mel import mel_spectrogram
from auricle.tagging import FileTagger
from bench.audio import decode_native
from bench.report import Report
from bench.timing import Progress, Spread, alternate, silent

WHOLE = "whole pipeline"
PARTS = ("decoding", "mel", "inference", "the rest")

TOLERANCE = 1e-3
"""Of activations, where a file is resampled as a stream here and as a whole there; 1e-6 where it is
not.
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
        file: Any that FFmpeg decodes.
        model: An installed model by name, or its folder.
        hop_size: Frames from one segment to the next; the model card's, if left out.
        threads: Threads of one inference.
        runs: Runs that count.
        progress: Called with a line that says how far it is.
    """
    taggers: list[FileTagger] = []
    activations: list[list[float]] = []
    spent: list[dict[str, float]] = []

    def run() -> float:
        tagger = FileTagger(file, model, hop_size, threads)
        began = time.perf_counter_ns()
        segments = list(tagger)
        wall_s = (time.perf_counter_ns() - began) / 1e9
        activations[:] = [list(segment.activations.values()) for segment in segments]
        taggers[:] = [tagger]
        spent.append({WHOLE: wall_s, **_parts(tagger, wall_s)})
        return wall_s

    measured = alternate({WHOLE: run}, runs, progress=progress)[WHOLE]
    tagger, counted = taggers[0], spent[-runs:]
    hop = tagger.backbone.inputs["mel"].hop_size
    report = Report(
        "pipeline",
        "A file to activations, and where the time goes",
        {
            "file": file.name,
            "audio_s": tagger.decoded_s,
            "model": tagger.model_name,
            "hop_frames": hop,
            "segments": len(activations),
            "threads": threads,
            "runs": runs,
        },
    )
    progress("the same, step by step on the whole file")
    expected = _plainly(file, tagger, hop)
    report.row(
        WHOLE,
        {
            "s": Spread.of(measured),
            "% of the time": 100.0,
            "x real time": Spread.of(measured).inverse(tagger.decoded_s),
            "error": _difference(np.array(activations), expected),
        },
    )
    for part in PARTS:
        shares = [100 * each[part] / each[WHOLE] for each in counted]
        report.row(
            part,
            {"s": Spread.of([each[part] for each in counted]), "% of the time": Spread.of(shares)},
        )
    engine = [100 * (each["mel"] + each["the rest"]) / each[WHOLE] for each in counted]
    report.target("% of the time beyond decoding and inference", Spread.of(engine), at_most=5)
    error = report.rows[WHOLE]["error"]
    report.target(
        "difference from the same steps on the whole file",
        error,
        at_most=TOLERANCE,
        correctness=True,
    )
    return report


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


def _plainly(file: Path, tagger: FileTagger, hop: int) -> NDArray[np.float32]:
    """Activations without graph, rings and shared work: each step on all that the step before gave."""
    front_end = tagger.backbone.card.front_end
    assert front_end is not None
    samples, sample_rate = decode_native(file)
    if sample_rate != front_end.sample_rate:
        samples = soxr.resample(samples, sample_rate, front_end.sample_rate, quality="HQ")
    mel = mel_spectrogram(samples, FRONT_ENDS[front_end.name])
    mel = (mel - np.float32(front_end.mean)) / np.float32(front_end.std)
    session: Any = open_session(find(tagger.backbone.params.model), ("cpu",), 1)
    name, size = session.get_inputs()[0].name, tagger.backbone.segment_size
    outputs = [
        session.run(["activations"], {name: mel[None, at : at + size]})[0][0]
        for at in range(0, len(mel) - size + 1, hop)
    ]
    return np.array(outputs)


def _difference(activations: NDArray[Any], expected: NDArray[np.float32]) -> float:
    """Largest difference; resampling may give a segment more or less at the end."""
    common = min(len(activations), len(expected))
    if abs(len(activations) - len(expected)) > 1:
        return float("inf")
    return float(np.abs(activations[:common] - expected[:common]).max()) if common else 0.0
