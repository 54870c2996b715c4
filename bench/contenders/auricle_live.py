"""Auricle: an engine with one stream that takes PCM over ZeroMQ."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from protocol import Answer, serve  # type: ignore[import-not-found]

from auricle.models.registry import info
from auricle.service.graph_file import GraphFile
from auricle.service.service import Service


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """Start the engine. A request is answered with its addresses, `publish` and `pcm`.

    Args:
        settings: `model`, `hop_size` in mel frames.
    """
    sys.setswitchinterval(0.0005)  # as `auricle run` does
    service = Service(GraphFile.model_validate(_graph(**settings)), Path())
    service.start()

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        (run,) = service.runs
        node: Any = run.graph.nodes["input"]
        while node.address.endswith("*"):
            if run.error is not None:
                raise run.error
            time.sleep(0.01)
        return {"publish": service.server.addresses["publish"], "pcm": node.address}

    return {}, answer


def _graph(model: str, hop_size: int) -> dict[str, Any]:
    front_end = info(model).front_end
    assert front_end is not None
    backbone = {"model": model, "hop_size": hop_size}
    return {
        "stream": "bench",
        "nodes": [
            {
                "id": "input",
                "class": "ZmqInput",
                "params": {"address": "tcp://127.0.0.1:*", "ends": True},
            },
            {"id": "mel", "class": "MelSpectrogram", "params": {"front_end": front_end.name}},
            {"id": "backbone", "class": "Backbone", "params": backbone},
            {"id": "publish", "class": "Publisher"},
        ],
        "edges": ["input -> mel -> backbone.predictions -> publish.predictions"],
        "wire": {"publish": "tcp://127.0.0.1:*"},
    }


if __name__ == "__main__":
    serve(prepare)
