"""Essentia-TensorFlow, streaming, as documented: MonoLoader into TensorflowPredictMusiCNN.

Essentia is AGPL. It is only run here, in its own environment, for comparison.
"""

from __future__ import annotations

import importlib
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from protocol import Answer, serve  # type: ignore[import-not-found]


class Tagger:
    """Essentia's networks by hop size, each made once, so that its TensorFlow session is warm.

    Args:
        settings: `file` and `graph`.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        if not Path(settings["graph"]).is_file():
            raise FileNotFoundError(
                f"no frozen graph {settings['graph']}; make the graphs with: make peers"
            )
        self._essentia: Any = importlib.import_module("essentia")
        self._streaming: Any = importlib.import_module("essentia.streaming")
        self._essentia.log.infoActive = self._essentia.log.warningActive = False
        self._file, self._graph = settings["file"], settings["graph"]
        self._networks: dict[int, tuple[Any, Any]] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Tag the file at a `hop_size` in frames; write (segments, classes) float32 to `output`."""
        loader, pool = self._network(request["hop_size"])
        self._essentia.reset(loader)
        pool.clear()
        began = time.perf_counter_ns()
        self._essentia.run(loader)
        seconds = (time.perf_counter_ns() - began) / 1e9
        np.save(request["output"], np.asarray(pool["activations"], np.float32))
        return {"seconds": seconds}

    def _network(self, hop_size: int) -> tuple[Any, Any]:
        """The network's loader, and the pool that it ends in."""
        if hop_size not in self._networks:
            loader = self._streaming.MonoLoader(
                filename=self._file, sampleRate=16000, resampleQuality=4
            )
            # A segment is called a patch there.
            predict = self._streaming.TensorflowPredictMusiCNN(
                graphFilename=self._graph,
                output="model/Sigmoid",
                patchHopSize=hop_size,
                lastPatchMode="discard",
            )
            pool = self._essentia.Pool()
            loader.audio >> predict.signal
            predict.predictions >> (pool, "activations")
            self._networks[hop_size] = (loader, pool)
        return self._networks[hop_size]


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """See `Tagger`."""
    return {"essentia-tensorflow": version("essentia-tensorflow")}, Tagger(settings).answer


if __name__ == "__main__":
    serve(prepare)
