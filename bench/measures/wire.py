"""One publisher and one subscriber over TCP on this machine: latency, messages a second, losses."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import msgpack
import numpy as np
import zmq

from auricle.wire.server import Server
from auricle.wire.settings import WireSpec
from bench.report import Figure, Report
from bench.timing import Measurement, Spread, Progress, alternate, percentiles, ratios, silent
from bench.workers import CONTENDERS, Worker

OURS = "Server to Subscriber"
BARE = "pyzmq and msgpack"
STREAM, KIND = "bench", "tags"

PAUSE_S = 0.002
"""Between two messages whose latency is measured, so that none waits for another."""

DRAIN_S = 1.0
"""Given to what waits at full speed before the last message, so that the last one is not lost too.
"""


class _Publisher(Protocol):
    address: str

    def publish(self, message: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class _Ours:
    """`auricle.wire.server.Server`: a queue, a thread that owns the socket, numbers, the time."""

    def __init__(self) -> None:
        self._server = Server(WireSpec(publish="tcp://127.0.0.1:*"))
        self._server.start()
        self.address = self._server.addresses["publish"]

    def publish(self, message: dict[str, Any]) -> None:
        self._server.publish(STREAM, KIND, message)

    def close(self) -> None:
        self._server.stop()


class _Bare:
    """The reference: one socket on the calling thread."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.bind("tcp://127.0.0.1:*")
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._seq = 0
        self._subscribed = False

    def publish(self, message: dict[str, Any]) -> None:
        if not self._subscribed:
            self._subscribed = bool(self._socket.recv())
        data = msgpack.packb({**message, "seq": self._seq})
        self._seq += 1
        self._socket.send_multipart([f"{STREAM}/{KIND}".encode(), data])

    def close(self) -> None:
        self._context.destroy(linger=0)


def measure(
    messages: int = 1000,
    burst: int = 20000,
    labels: int = 50,
    runs: int = 3,
    drain_s: float = DRAIN_S,
    progress: Progress = silent,
) -> Report:
    """Predictions of `labels` labels, from this process to another.

    Latency is from the call that publishes to the message as Python objects on the other side.

    Args:
        messages: Of a round, 2 ms apart, whose latency is measured.
        burst: Of a round, as fast as they can be handed over; what cannot be kept is lost, and
            counted.
        labels: Of a message.
        runs: Rounds that count.
        drain_s: Seconds of silence after a burst.
        progress: Called with a line that says how far it is.
    """
    report = Report(
        "wire",
        "A prediction from one process to another over TCP on this machine",
        {"labels": labels, "messages": messages, "burst": burst, "runs": runs},
        reference=BARE,
    )
    values = np.random.default_rng(0).random(labels, np.float32)
    ranked = [[f"label {number}", float(value)] for number, value in enumerate(values)]
    with ExitStack() as stack:
        links: dict[str, _Link] = {}
        for name, publisher in ((OURS, _Ours()), (BARE, _Bare())):
            stack.callback(publisher.close)
            links[name] = _Link(name, publisher, ranked)
            stack.callback(links[name].worker.close)
        latencies = {name: link.contender(messages, PAUSE_S, 0.0) for name, link in links.items()}
        alternate(latencies, runs, progress=lambda line: progress(f"latency, {line}"))
        paced = {name: link.taken(runs) for name, link in links.items()}
        bursts = {name: link.contender(burst, 0.0, drain_s) for name, link in links.items()}
        alternate(bursts, runs, progress=lambda line: progress(f"full speed, {line}"))
        full = {name: link.taken(runs) for name, link in links.items()}
    for name in links:
        report.series[name] = [each for answer in paced[name] for each in answer["latencies_us"]]
        report.row(name, {**_latency(paced[name]), **_speed(full[name], burst)})
        p50s = {
            each: [percentiles(a["latencies_us"])["p50"] for a in paced[each]]
            for each in (name, BARE)
        }
        report.row(name, {"its p50 / reference's": ratios(p50s[name], p50s[BARE])})
        report.row(name, {"error": _error([*paced[name], *full[name]], ranked)})
        answers = [(messages, answer) for answer in paced[name]] + [
            (burst, answer) for answer in full[name]
        ]
        report.target(
            f"{name}: messages neither received nor known to be lost",
            max(sent - len(answer["latencies_us"]) - answer["lost"] for sent, answer in answers),
            at_least=0,
            at_most=0,
            correctness=True,
        )
    return report


class _Link:
    """A publisher here, its subscriber in another process, and what that said of each round."""

    def __init__(self, name: str, publisher: _Publisher, ranked: list[list[Any]]) -> None:
        settings = {
            "address": publisher.address,
            "topic": f"{STREAM}/{KIND}",
            "bare": isinstance(publisher, _Bare),
        }
        script = CONTENDERS / "auricle_subscriber.py"
        self.worker = Worker(name, Path(sys.executable), script, settings)
        self._publish: Callable[[dict[str, Any]], None] = publisher.publish
        self._ranked = ranked
        self._rounds = 0
        self._answers: list[dict[str, Any]] = []

    def contender(self, count: int, pause_s: float, drain_s: float) -> Measurement:
        def run() -> float:
            self._rounds += 1
            self.worker.begin(round=self._rounds)
            message = {**_PLACE, "round": self._rounds, "last": False, "values": self._ranked}
            for _ in range(count):
                self._publish({**message, "sent_ns": time.monotonic_ns()})
                if pause_s:
                    time.sleep(pause_s)
            time.sleep(drain_s)
            self._publish({**message, "sent_ns": time.monotonic_ns(), "last": True})
            answer = self.worker.answer()
            self._answers.append(answer)
            return float(answer["seconds"])

        return run

    def taken(self, runs: int) -> list[dict[str, Any]]:
        """What was answered in the last `runs` rounds; forgets all."""
        answers, self._answers = self._answers[-runs:], []
        return answers


def _latency(answers: list[dict[str, Any]]) -> dict[str, Figure]:
    found = [percentiles(answer["latencies_us"]) for answer in answers]
    figures: dict[str, Figure] = {
        f"{each} us": Spread.of([run[each] for run in found]) for each in ("p50", "p99")
    }
    return {**figures, "max us": max(run["max"] for run in found)}


def _speed(answers: list[dict[str, Any]], burst: int) -> dict[str, Figure]:
    received = [len(answer["latencies_us"]) for answer in answers]
    rates = [count / answer["seconds"] for count, answer in zip(received, answers, strict=True)]
    lost = [100 * (1 - count / burst) for count in received]
    return {"messages/s": Spread.of(rates), "lost at full speed %": Spread.of(lost)}


def _error(answers: list[dict[str, Any]], ranked: list[list[Any]]) -> float:
    """Largest difference of the activations that came from those that were sent."""
    errors = []
    for answer in answers:
        if [label for label, _ in answer["values"]] != [label for label, _ in ranked]:
            return float("inf")
        pairs = zip(answer["values"], ranked, strict=True)
        errors.append(max(abs(came - sent) for (_, came), (_, sent) in pairs))
    return float(max(errors))


_PLACE: dict[str, Any] = {
    "index": 0,
    "span": [0, 47872],
    "sample_rate": 16000,
    "start": 0.0,
    "end": 2.992,
    "utc": 1.7e9,
    "rung": 0,
    "flags": [],
    "model": "musicnn-mtt",
    "model_version": "1",
    "latency": {"capture": 0.02, "queue": 0.001, "mel": 0.0001, "inference": 0.012},
}
"""What a prediction has beside its values."""
