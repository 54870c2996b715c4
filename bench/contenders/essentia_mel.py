"""Essentia's mel front end, streaming: MonoLoader, FrameCutter, TensorflowInputMusiCNN.

Essentia's streaming network takes its samples from a file: from memory (VectorInput) they go one by
one, which takes twenty times as long and would be unfair. The time of the loader alone is measured
too, and subtracted.
"""

from __future__ import annotations

import importlib
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from protocol import Answer, serve  # type: ignore[import-not-found]


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """A request computes all frames, and writes them to `output`.

    Args:
        settings: `file`, 16 kHz mono.
    """
    essentia: Any = importlib.import_module("essentia")
    streaming: Any = importlib.import_module("essentia.streaming")
    essentia.log.infoActive = essentia.log.warningActive = False
    loader = streaming.MonoLoader(filename=settings["file"], sampleRate=16000)
    cutter = streaming.FrameCutter(frameSize=512, hopSize=256, silentFrames="keep")
    mel = streaming.TensorflowInputMusiCNN()
    pool = essentia.Pool()
    loader.audio >> cutter.signal
    cutter.frame >> mel.frame
    mel.bands >> (pool, "bands")
    only_loader = streaming.MonoLoader(filename=settings["file"], sampleRate=16000)
    only_loader.audio >> None

    def seconds_of(source: Any) -> float:
        essentia.reset(source)
        began = time.perf_counter_ns()
        essentia.run(source)
        return (time.perf_counter_ns() - began) / 1e9

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        pool.clear()
        seconds = seconds_of(loader) - seconds_of(only_loader)
        frames = np.asarray(pool["bands"], np.float32)
        np.save(request["output"], frames)
        return {"seconds": seconds, "frames": len(frames)}

    return _versions(), answer


def _versions() -> dict[str, str]:
    for name in ("essentia-tensorflow", "essentia"):
        try:
            return {name: version(name)}
        except PackageNotFoundError:
            continue
    return {}


if __name__ == "__main__":
    serve(prepare)
