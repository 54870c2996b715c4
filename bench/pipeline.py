"""How fast a file goes through the whole graph, and where the time goes."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auricle.tagging import FileTagger


@dataclass(frozen=True)
class PipelineFigures:
    """Those of the median run; times in seconds.

    Attributes:
        file: What was tagged.
        model: By which model.
        threads: Threads of one inference.
        runs: Measured runs, after one that is not.
        audio_s: Length of the audio.
        segments: Segments it gave.
        wall_s: Time for all of it.
        x_real_time: `audio_s / wall_s`.
        spread: Slowest run over fastest.
        decode_s: In FFmpeg and the resampler.
        inference_s: In ONNX Runtime.
        mel_s: In the mel front end.
        engine_s: All but decoding and inference: mel frames, rings, scheduling, predictions.
        engine_share: `engine_s / wall_s`.
    """

    file: str
    model: str
    threads: int
    runs: int
    audio_s: float
    segments: int
    wall_s: float
    x_real_time: float
    spread: float
    decode_s: float
    inference_s: float
    mel_s: float
    engine_s: float
    engine_share: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure(
    file: Path, model: str = "musicnn-mtt", hop_size: int | None = None, threads: int = 1, runs: int = 3
) -> PipelineFigures:
    """Tag `file` several times and measure. Errors are those of `FileTagger`."""
    results = []
    for number in range(runs + 1):
        tagger = FileTagger(file, model, hop_size, threads)
        began = time.perf_counter()
        segments = sum(1 for _ in tagger)
        wall_s = time.perf_counter() - began
        if number:  # the first run compiles, loads and fills caches
            results.append((wall_s, segments, tagger))
    results.sort(key=lambda result: result[0])
    wall_s, segments, tagger = results[len(results) // 2]
    nodes = tagger.graph.order
    elsewhere = {node.name: sum(node.elsewhere_ns.values()) / 1e9 for node in nodes}
    decode_s, inference_s = elsewhere["input"], elsewhere["backbone"]
    engine_s = wall_s - decode_s - inference_s
    return PipelineFigures(
        file=str(file),
        model=tagger.model_name,
        threads=threads,
        runs=runs,
        audio_s=tagger.decoded_s,
        segments=segments,
        wall_s=wall_s,
        x_real_time=tagger.decoded_s / wall_s,
        spread=results[-1][0] / results[0][0],
        decode_s=decode_s,
        inference_s=inference_s,
        mel_s=tagger.run.spent_ns["mel"] / 1e9 if tagger.run else 0.0,
        engine_s=engine_s,
        engine_share=engine_s / wall_s,
    )
