"""One publisher and one subscriber over TCP on this machine: latency, messages a second, losses."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import msgpack
import numpy as np
import zmq

from auricle.wire.messages import Prediction
from auricle.wire.server import Server
from auricle.wire.settings import WireSpec
from bench.report import Report
from bench.timing import Measurement, Progress, Spread, alternate, percentiles, ratios, silent
from bench.workers import CONTENDERS, Worker

OURS = "Server to Subscriber"
BARE = "pyzmq and msgpack"
TOPIC = "bench/prediction/tags"

PAUSE_S = 0.002
"""Seconds between two messages whose latency is measured, so that none waits for another."""

DRAIN_S = 1.0
"""Seconds given to what waits at full speed, so that the last message of a round is not lost too.
"""

AGAIN_S = 1.0
"""Seconds after which the last message of a round is sent again, if nothing was answered."""

Ranked = Sequence[tuple[str, float]]
"""Labels with their activations, strongest first."""


class Publisher(Protocol):
    """The sending side.

    Attributes:
        address: Address that a subscriber connects to.
    """

    address: str

    def publish(self, message: dict[str, Any]) -> None:
        """Send a message; it is lost if no more can wait."""

    def close(self) -> None:
        """Close the socket."""


class ServerPublisher:
    """`auricle.wire.server.Server`: a queue, a thread that owns the socket, numbers, the time."""

    def __init__(self) -> None:
        self._server = Server(WireSpec(publish="tcp://127.0.0.1:*"))
        self._server.start()
        self.address = self._server.addresses["publish"]

    def publish(self, message: dict[str, Any]) -> None:
        self._server.send(Prediction(**message))

    def close(self) -> None:
        self._server.stop()


class BarePublisher:
    """The reference: one socket on the calling thread.

    Attributes:
        address: Address that a subscriber connects to.
        seq: Number of the next message.
    """

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.bind("tcp://127.0.0.1:*")
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.seq = 0
        self._subscribed = False

    def publish(self, message: dict[str, Any]) -> None:
        if not self._subscribed:
            self._subscribed = bool(self._socket.recv())
        data = msgpack.packb({**message, "seq": self.seq})
        self.seq += 1
        self._socket.send_multipart([TOPIC.encode(), data])

    def close(self) -> None:
        self._context.destroy(linger=0)


PUBLISHERS: Mapping[str, Callable[[], Publisher]] = {OURS: ServerPublisher, BARE: BarePublisher}


def measure(
    messages: int = 1000,
    burst: int = 20000,
    labels: int = 50,
    runs: int = 3,
    drain_s: float = DRAIN_S,
    progress: Progress = silent,
    publishers: Mapping[str, Callable[[], Publisher]] = PUBLISHERS,
) -> Report:
    """Predictions of `labels` labels, from this process to another.

    Latency is from the call that publishes to the message as Python objects on the other side.

    Args:
        messages: Messages of a round, 2 ms apart, whose latency is measured.
        burst: Messages of a round, as fast as they can be handed over; what cannot be kept is lost,
            and counted.
        labels: Labels of a message.
        runs: Number of measured rounds.
        drain_s: Seconds of silence after a burst.
        progress: Function to call with a line of progress.
        publishers: Functions that make the sending sides, by name.
    """
    values = np.random.default_rng(0).random(labels, np.float32)
    ranked = [(f"label {number}", float(value)) for number, value in enumerate(values)]
    with ExitStack() as stack:
        links = {}
        for name, publisher in publishers.items():
            links[name] = _Link(name, publisher(), ranked)
            stack.callback(links[name].close)
        paced = _rounds(
            links, messages, PAUSE_S, 0.0, runs, lambda line: progress(f"paced, {line}")
        )
        full = _rounds(
            links, burst, 0.0, drain_s, runs, lambda line: progress(f"full speed, {line}")
        )
    report = Report(
        "wire",
        "A prediction from one process to another over TCP on this machine",
        {"labels": labels, "messages": messages, "burst": burst, "runs": runs},
        reference=BARE,
    )
    for name in links:
        _fill(report, name, paced, full[name], ranked)
    return report


class _Link:
    """A publisher here, its subscriber in another process, and its answers to each round.

    A message is a prediction whose fields say what the subscriber needs: `index` is the number of
    messages published before it, `rung` the round, `span` begins with the time at which it was
    sent, in nanoseconds, and the flag `last` ends the round.
    """

    def __init__(self, name: str, publisher: Publisher, ranked: Ranked) -> None:
        settings = {
            "address": publisher.address,
            "topic": TOPIC,
            "bare": isinstance(publisher, BarePublisher),
        }
        script = CONTENDERS / "auricle_subscriber.py"
        self._publisher = publisher
        self._worker = Worker(name, Path(sys.executable), script, settings)
        self._ranked = ranked
        self._round = self._published = 0
        self._answers: list[dict[str, Any]] = []

    def contender(self, count: int, pause_s: float, drain_s: float) -> Measurement:
        """A round of `count` messages, measured in seconds from the first to the last."""

        def run() -> float:
            self._round += 1
            self._worker.begin(round=self._round)
            for _ in range(count):
                self._publish()
                if pause_s:
                    time.sleep(pause_s)
            time.sleep(drain_s)
            self._publish("last")
            while not self._worker.answered(AGAIN_S):
                self._publish("last")
            self._answers.append(self._worker.answer())
            return float(self._answers[-1]["seconds"])

        return run

    def _publish(self, *flags: str) -> None:
        sent_ns = time.monotonic_ns()
        message = {
            **_REST,
            "index": self._published,
            "rung": self._round,
            "span": (sent_ns, sent_ns + 47872),
            "flags": flags,
            "activations": self._ranked,
        }
        self._publisher.publish(message)
        self._published += 1

    def taken(self, runs: int) -> list[dict[str, Any]]:
        """The answers of the last `runs` rounds; drops all answers."""
        answers, self._answers = self._answers[-runs:], []
        return answers

    def close(self) -> None:
        """Close both sides."""
        self._worker.close()
        self._publisher.close()


_REST: dict[str, Any] = {
    "stream": "bench",
    "head": "tags",
    "sample_rate": 16000,
    "start": 0.0,
    "end": 2.992,
    "utc": 1.7e9,
    "model": "musicnn-mtt",
    "model_version": "1",
    "latency": {"capture": 0.02, "queue": 0.001, "mel": 0.0001, "inference": 0.012},
}
"""Fields of a prediction that are the same in all messages."""

Answers = Mapping[str, list[dict[str, Any]]]
"""What subscribers answered to each round, by name."""


def _rounds(
    links: Mapping[str, _Link],
    count: int,
    pause_s: float,
    drain_s: float,
    runs: int,
    progress: Progress,
) -> Answers:
    """Rounds of so many messages."""
    contenders = {name: link.contender(count, pause_s, drain_s) for name, link in links.items()}
    alternate(contenders, runs, progress=progress)
    return {name: link.taken(runs) for name, link in links.items()}


def _fill(
    report: Report, name: str, paced: Answers, full: list[dict[str, Any]], ranked: Ranked
) -> None:
    answers = [*paced[name], *full]
    report.series[name] = []
    for answer in paced[name]:
        report.series[name] += answer["latencies_us"]
    report.row(
        name,
        {
            "p50 us": Spread.of(_percentile(paced[name], "p50")),
            "p99 us": Spread.of(_percentile(paced[name], "p99")),
            "max us": max(report.series[name]),
        },
    )
    _add_speed(report, name, full)
    reference = _percentile(paced[report.reference], "p50")
    ratio = ratios(_percentile(paced[name], "p50"), reference)
    report.row(name, {"its p50 / reference's": ratio, "error": _error(answers, ranked)})
    report.target(
        f"{name}: messages neither received nor known to be lost",
        max(abs(answer["unaccounted"]) for answer in answers),
        at_least=0,
        at_most=0,
        correctness=True,
    )


def _percentile(answers: Iterable[Mapping[str, Any]], which: str) -> list[float]:
    return [percentiles(answer["latencies_us"])[which] for answer in answers]


def _add_speed(report: Report, name: str, answers: Sequence[Mapping[str, Any]]) -> None:
    burst = report.settings["burst"]
    received = [len(answer["latencies_us"]) for answer in answers]
    rates = [count / answer["seconds"] for count, answer in zip(received, answers, strict=True)]
    lost = [100 * (1 - count / burst) for count in received]
    report.row(name, {"messages/s": Spread.of(rates), "lost at full speed %": Spread.of(lost)})


def _error(answers: Iterable[Mapping[str, Any]], ranked: Ranked) -> float:
    """Largest difference of the activations that came from those that were sent."""
    labels, sent = zip(*ranked, strict=True)
    worst = 0.0
    for answer in answers:
        came_labels, came = zip(*answer["activations"], strict=True)
        if came_labels != labels:
            return float("inf")
        worst = max(worst, float(np.abs(np.subtract(came, sent)).max()))
    return worst
