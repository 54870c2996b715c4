"""Essentia-TensorFlow, streaming: MonoLoader into TensorflowPredictMusiCNN, as its documentation
does it.

Essentia is AGPL: a program that is run here to be compared with, in an environment of its own.
"""

from __future__ import annotations

import importlib
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from protocol import Answer, serve  # type: ignore[import-not-found]


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """Settings: `file` and `graph`. Requests: `hop_frames`, and `output` for the activations."""
    if not Path(settings["graph"]).is_file():
        raise FileNotFoundError(
            f"no frozen graph {settings['graph']}; make those there are with: make peers"
        )
    essentia: Any = importlib.import_module("essentia")
    streaming: Any = importlib.import_module("essentia.streaming")
    essentia.log.infoActive = essentia.log.warningActive = False
    networks: dict[int, tuple[Any, Any]] = {}

    def network(hop_frames: int) -> tuple[Any, Any]:
        """Made once for each hop, so that TensorFlow's session is warm, as ours is."""
        if hop_frames not in networks:
            loader = streaming.MonoLoader(
                filename=settings["file"], sampleRate=16000, resampleQuality=4
            )
            # A segment is called a patch there.
            predict = streaming.TensorflowPredictMusiCNN(
                graphFilename=settings["graph"],
                output="model/Sigmoid",
                patchHopSize=hop_frames,
                lastPatchMode="discard",
            )
            pool = essentia.Pool()
            loader.audio >> predict.signal
            predict.predictions >> (pool, "activations")
            networks[hop_frames] = (loader, pool)
        return networks[hop_frames]

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        loader, pool = network(request["hop_frames"])
        essentia.reset(loader)
        pool.clear()
        began = time.perf_counter_ns()
        essentia.run(loader)
        seconds = (time.perf_counter_ns() - began) / 1e9
        np.save(request["output"], np.asarray(pool["activations"], np.float32))
        return {"seconds": seconds}

    return {"essentia-tensorflow": version("essentia-tensorflow")}, answer


if __name__ == "__main__":
    serve(prepare)
