"""Auricle: an engine with any number of streams, each a file played in real time."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from protocol import Answer, serve  # type: ignore[import-not-found]

from auricle.engine.scheduler import usable_cores
from auricle.models.inference.incremental import chunk_size, open_split_session
from auricle.models.inference.sessions import open_session
from auricle.models.inference.split import FEATURES, FRAMES
from auricle.models.registry import find, info
from auricle.service.graph_file import GraphFile
from auricle.service.service import Service
from auricle.wire.histogram import Latencies
from bench.machine import resident_mb

ADD_S = 0.01
"""Seconds given to adding a stream, at least."""

LOOK_S = 1.0
"""Seconds between two samples of memory, rung and counts."""

WORKERS = usable_cores()
"""Threads that the engine works with."""

COUNTS = ("offered", "hop", "overload")
"""Counts of segments: all of them, and those left out by reason."""

Counts = Mapping[str, int]


class Engine:
    """A service whose streams come and go.

    Args:
        settings: `model`, `hop_size` in mel frames, `file`.

    Attributes:
        service: The service.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._model, self._hop_size = settings["model"], settings["hop_size"]
        self._file = settings["file"]
        front_end = info(self._model).front_end
        assert front_end is not None
        self._hop_s = self._hop_size * front_end.hop_size / front_end.sample_rate
        graph = _graph(self._file, self._model, self._hop_size, front_end.name)
        self.service = Service(GraphFile.model_validate(graph), Path())
        self.service.start()
        self._added = 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Call the method that `do` names: `raw`, `add`, `remove` or `measure`."""
        what = request.pop("do")
        result: dict[str, Any] = getattr(self, what)(**request)
        return result

    def raw(self, seconds: float) -> dict[str, Any]:
        """Segments per second of the model's sessions alone, with one thread per worker."""
        done: list[int] = []

        def work() -> None:
            infer = _inference(self._model, self._hop_size)
            count, end = 0, time.monotonic() + seconds
            while time.monotonic() < end:
                infer()
                count += 1
            done.append(count)

        threads = [threading.Thread(target=work) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {"segments_per_s": sum(done) / seconds, "workers": len(threads)}

    def add(self, count: int) -> dict[str, Any]:
        """Add `count` streams, spread evenly over whole hops, since real ones are not in step.

        Takes at least `ADD_S` seconds per stream.

        Returns:
            `rss_mb`, the resident memory in MB, and `rung`.
        """
        began = time.monotonic()
        spread_s = self._hop_s * -(-count * ADD_S // self._hop_s)
        for number in range(count):
            time.sleep(max(0.0, began + number * spread_s / count - time.monotonic()))
            self.service.add_stream(f"s{self._added}", self._file, {"input.realtime": True})
            self._added += 1
        return self._state()

    def remove(self, left: int) -> dict[str, Any]:
        """Remove all but `left` streams.

        Returns:
            `rss_mb`, the resident memory in MB, `rung`, and as `streams`, by name, the counts of
            segments of those that ended.
        """
        runs = self.service.runs[left:]
        for run in runs:
            self.service.remove_stream(run.graph.name)
        while not all(run.over for run in runs):
            time.sleep(0.01)
        return {**self._state(), "streams": {run.graph.name: _counts(run) for run in runs}}

    def measure(self, seconds: float) -> dict[str, Any]:
        """Measure for `seconds`.

        Returns:
            `seconds` that it took; `cpu`, cores in use; `streams`, counts of segments by stream;
            `late`, number of predictions later than a hop; `latency` in seconds; and `looks`, a
            sample of memory in MB, rung and counts every `LOOK_S` seconds.
        """
        before = self._counts_by_stream()
        latencies = self.service.server.latencies = Latencies()
        looks = []
        began, cpu_s = time.monotonic(), time.process_time()
        while (passed := time.monotonic() - began) < seconds:
            looks.append(self._look(passed, latencies))
            time.sleep(min(LOOK_S, seconds - passed))
        looks.append(self._look(passed, latencies))
        total = latencies.of_all("total")
        return {
            "seconds": passed,
            "cpu": (time.process_time() - cpu_s) / passed,
            "streams": _differences(self._counts_by_stream(), before),
            "late": total.beyond(self._hop_s),
            "latency": total.summary(),
            "looks": looks,
        }

    def _counts_by_stream(self) -> dict[str, Counts]:
        return {run.graph.name: _counts(run) for run in self.service.runs}

    def _look(self, at_s: float, latencies: Latencies) -> dict[str, Any]:
        """Memory, rung, and counts of all streams since these began."""
        late = latencies.of_all("total").beyond(self._hop_s)
        sums = _sums(self._counts_by_stream().values())
        return {"at_s": at_s, **self._state(), **sums, "late": late}

    def _state(self) -> dict[str, Any]:
        """Memory in MB, and the rung."""
        return {"rss_mb": resident_mb(), "rung": self.service.ladder.rung}


def _graph(file: str, model: str, hop_size: int, front_end: str) -> dict[str, Any]:
    return {
        "stream": "bench",
        "nodes": [
            {"id": "input", "class": "FileInput", "params": {"path": file, "realtime": True}},
            {"id": "mel", "class": "MelSpectrogram", "params": {"front_end": front_end}},
            {
                "id": "backbone",
                "class": "Backbone",
                "params": {"model": model, "hop_size": hop_size},
            },
            {"id": "publish", "class": "Publisher"},
        ],
        "edges": ["input -> mel -> backbone.predictions -> publish.predictions"],
        "wire": {"publish": "tcp://127.0.0.1:*"},
        "workers": WORKERS,
        "streams": [],
    }


def _inference(model: str, hop_size: int) -> Callable[[], None]:
    """A segment through the model's own sessions: whole, or its front and its back."""
    folder = find(model)
    split = open_split_session(folder, hop_size, ("cpu",), 1)
    session = open_session(folder, ("cpu",), 1) if split is None else split.back
    rng = np.random.default_rng(0)
    inputs = {}
    for each in session.get_inputs():
        shape = [size if isinstance(size, int) else 1 for size in each.shape]
        inputs[each.name] = rng.random(shape, np.float32)
    if split is None:
        return lambda: session.run(None, inputs)
    chunk = chunk_size(hop_size)
    mel = inputs[split.input]
    frames = np.resize(mel, (1, split.history + chunk, mel.shape[2]))

    def front_and_back() -> None:
        for _ in range(-(-hop_size // chunk)):
            columns = split.front.run(None, {FRAMES: frames})[0]
            inputs[FEATURES][:, :, : columns.shape[2]] = columns
        session.run(None, inputs)

    return front_and_back


def _counts(run: Any) -> Counts:
    """Numbers of segments of a stream: all of them, and those left out by reason."""
    backbone = run.graph.nodes["backbone"]
    offered = backbone.outputs["predictions"].stream.written
    return {
        "offered": offered,
        "hop": backbone.counts["hop"],
        "overload": backbone.counts["overload"],
    }


def _sums(counts: Iterable[Counts]) -> Counts:
    sums: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    for each in counts:
        sums.update(each)
    return sums


def _differences(after: Mapping[str, Counts], before: Mapping[str, Counts]) -> dict[str, Counts]:
    """The increase of the counts of each stream."""
    risen: dict[str, Counts] = {}
    for name, counts in before.items():
        risen[name] = {what: after[name][what] - counts[what] for what in COUNTS}
    return risen


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """See `Engine`; its versions have the `address` where it publishes."""
    # As `auricle run` does: a worker that comes back from inference must not wait 5 ms for
    # another's Python.
    sys.setswitchinterval(0.0005)
    engine = Engine(settings)
    return {"address": engine.service.server.addresses["publish"]}, engine.answer


if __name__ == "__main__":
    serve(prepare)
