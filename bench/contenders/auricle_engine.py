"""Auricle: an engine with any number of streams, each a file played in real time."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from protocol import Answer, serve  # type: ignore[import-not-found]

ADD_S = 0.01
"""Time given to adding a stream, at least."""

LOOK_S = 1.0
"""Between two looks at memory and rung."""


class Engine:
    """A service whose streams come and go.

    Args:
        settings: `model`, `hop_frames`, `file`.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        from auricle.models.registry import info
        from auricle.service.graph_file import GraphFile
        from auricle.service.service import Service

        self.model = settings["model"]
        card = info(self.model)
        self.hop: int = settings["hop_frames"] or card.segment_hop_size or 1
        assert card.front_end is not None
        self.hop_s = self.hop * card.front_end.hop_size / card.front_end.sample_rate
        self.file = settings["file"]
        nodes = [
            {"id": "input", "class": "FileInput", "params": {"path": self.file, "realtime": True}},
            {"id": "mel", "class": "MelSpectrogram", "params": {"front_end": card.front_end.name}},
            {
                "id": "backbone",
                "class": "Backbone",
                "params": {"model": self.model, "hop_size": self.hop},
            },
            {"id": "publish", "class": "Publisher"},
        ]
        content = {
            "stream": "bench",
            "nodes": nodes,
            "edges": ["input -> mel -> backbone.predictions -> publish.predictions"],
            "wire": {"publish": "tcp://127.0.0.1:*"},
            "streams": [],
        }
        self.service = Service(GraphFile.model_validate(content), Path())
        self.service.start()
        self._added = 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """`do`: `raw`, `add`, `remove` or `measure`, with their arguments; what it did."""
        what = request.pop("do")
        result: dict[str, Any] = getattr(self, what)(**request)
        return result

    def raw(self, seconds: float) -> dict[str, Any]:
        """Segments a second of the model's own sessions, a thread a worker, with nothing else."""
        from auricle.models.inference.incremental import chunk_size
        from auricle.models.inference.sessions import open_session, open_split_session
        from auricle.models.inference.split import FEATURES, FRAMES
        from auricle.models.registry import find

        folder = find(self.model)
        split = open_split_session(folder, self.hop, ("cpu",), 1)
        session = open_session(folder, ("cpu",), 1) if split is None else split.back
        shapes = {
            each.name: [size if isinstance(size, int) else 1 for size in each.shape]
            for each in session.get_inputs()
        }
        rng = np.random.default_rng(0)
        done: list[int] = []

        def work() -> None:
            inputs = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
            count, end = 0, time.monotonic() + seconds
            if split is not None:
                chunk = chunk_size(self.hop)
                mel = inputs[split.input]
                frames = np.resize(mel, (1, split.history + chunk, mel.shape[2]))
            while time.monotonic() < end:
                if split is not None:
                    for _ in range(-(-self.hop // chunk)):
                        columns = split.front.run(None, {FRAMES: frames})[0]
                        inputs[FEATURES][:, :, : columns.shape[2]] = columns
                session.run(None, inputs)
                count += 1
            done.append(count)

        threads = [threading.Thread(target=work) for _ in range(self.service._scheduler.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {"segments_per_s": sum(done) / seconds, "workers": len(threads)}

    def add(self, count: int) -> dict[str, Any]:
        """More streams, evenly over whole hops: real ones are not in step."""
        began = time.monotonic()
        spread_s = self.hop_s * -(-count * ADD_S // self.hop_s)
        for number in range(count):
            time.sleep(max(0.0, began + number * spread_s / count - time.monotonic()))
            self.service.add_stream(f"s{self._added}", self.file, {"input.realtime": True})
            self._added += 1
        return self.state()

    def remove(self, left: int) -> dict[str, Any]:
        """Fewer streams: `left` stay. Answers when the others have ended, with what these had."""
        runs = self.service.runs[left:]
        for run in runs:
            self.service.remove_stream(run.graph.name)
        while not all(run.over for run in runs):
            time.sleep(0.01)
        return {**self.state(), "streams": {run.graph.name: _counts(run) for run in runs}}

    def measure(self, seconds: float) -> dict[str, Any]:
        """Counts of a time, and memory and rung during it."""
        from auricle.engine.histogram import Latencies

        before = {run.graph.name: _counts(run) for run in self.service.runs}
        latencies = self.service.server.latencies = Latencies()
        looks = []
        began, cpu_s = time.monotonic(), _cpu_s()
        while (passed := time.monotonic() - began) < seconds:
            looks.append({"at_s": passed, **self.state()})
            time.sleep(min(LOOK_S, seconds - passed))
        passed = time.monotonic() - began
        after = {run.graph.name: _counts(run) for run in self.service.runs}
        streams = {
            name: {k: after[name][k] - each.get(k, 0) for k in after[name]}
            for name, each in before.items()
        }
        total = latencies.of_all("total")
        return {
            "seconds": passed,
            "cpu": (_cpu_s() - cpu_s) / passed,
            "streams": streams,
            "late": total.beyond(self.hop_s),
            "latency": total.summary(),
            "looks": looks,
        }

    def state(self) -> dict[str, Any]:
        """Memory in MB, and the rung."""
        from bench.machine import resident_mb

        return {"rss_mb": resident_mb(), "rung": self.service.ladder.rung}


def _counts(run: Any) -> dict[str, int]:
    """Segments of a stream: `offered`, and left out by reason."""
    backbone = run.graph.nodes["backbone"]
    stream = backbone.outputs["predictions"].stream
    left_out: Counter[str] = backbone.counts
    return {
        **{reason: left_out[reason] for reason in ("hop", "overload")},
        "offered": stream.written,
    }


def _cpu_s() -> float:
    return time.process_time()


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """See `Engine`; the request `address` asks where it publishes."""
    # As `auricle run` does: a worker that comes back from inference must not wait 5 ms for
    # another's Python.
    sys.setswitchinterval(0.0005)
    engine = Engine(settings)
    return {"address": engine.service.server.addresses["publish"]}, engine.answer


if __name__ == "__main__":
    serve(prepare)
