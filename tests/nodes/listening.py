"""An input alone in a graph, and what it gave: for tests of inputs."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgpack
import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.engine.backoff import Backoff
from auricle.engine.context import Outage
from auricle.engine.graph import Graph
from auricle.engine.marks import Gap
from auricle.engine.node import Status
from auricle.engine.run import Run, State
from auricle.engine.scheduler import LiveScheduler, run_offline
from auricle.engine.testing import Recorder
from auricle.nodes.inputs.base import Input

PATIENCE_S = 20
"""Longest wait for anything; nothing comes near it but a failure."""

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")


QUICK = Backoff(0.05, 0.05)
"""Pauses of sources under test."""


class Outages:
    """What a source has waited for, in order; None where it was heard again."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Outage | None] = queue.Queue()

    def __call__(self, run: Run) -> None:
        self._queue.put(run.outage)

    def next(self) -> Outage | None:
        return self._queue.get(timeout=500)

    def next_reason(self) -> str:
        """The next reason to wait; being heard is passed over."""
        while (outage := self.next()) is None:
            pass
        return outage.reason

    def heard(self) -> None:
        """Wait until it is heard; reasons to wait are passed over."""
        while self.next() is not None:
            pass


class Listener(Recorder):
    """A recorder that can be waited for, and whose reader does not move while `deaf` is set."""

    def __init__(self, name: str) -> None:
        super().__init__(name, np.dtype(np.float32))
        self.deaf = False
        self.changed = threading.Condition()

    def process(self) -> Status:
        if self.deaf:
            return Status.NO_INPUT
        with self.changed:
            status = super().process()
            self.changed.notify_all()
        return status

    @property
    def samples(self) -> NDArray[np.float32]:
        """Everything so far, which has to be without a hole."""
        numbers = sorted(self.tokens)
        assert numbers == list(range(len(numbers)))
        return np.array([self.tokens[number] for number in numbers], np.float32)

    @property
    def gaps(self) -> list[Gap]:
        return [mark for mark in self.marks if isinstance(mark, Gap)]

    def reasons(self) -> list[str]:
        return [gap.reason for gap in self.gaps]

    def wait_for(self, what: Callable[[], object]) -> None:
        """Wait until `what` holds; it is looked at after every call of this node."""
        with self.changed:
            assert self.changed.wait_for(what, PATIENCE_S), "this never came"


def wired(node: Input, start: int = 0) -> tuple[Graph, Listener]:
    listener = Listener("listener")
    return Graph("g", [node, listener], [(node.name, "listener")], start), listener


def heard_at_once(node: Input, start: int = 0) -> Listener:
    """What `node` gives, offline; for sources that do not wait."""
    graph, listener = wired(node, start)
    run_offline(graph)
    check_statistics(node)
    return listener


@contextmanager
def listening(
    node: Input, start: int = 0, backoff: Backoff = QUICK, outages: Outages | None = None
) -> Iterator[tuple[LiveScheduler, Listener]]:
    """`node` running live; stopped, twice, and looked at for threads left behind."""
    graph, listener = wired(node, start)
    scheduler = LiveScheduler(outage=outages)
    scheduler.add(graph, backoff)
    scheduler.start()
    try:
        yield scheduler, listener
    finally:
        scheduler.stop()
        stopped = scheduler.wait(PATIENCE_S)
    assert stopped
    node.stop()
    for thread in threading.enumerate():
        if thread.name == f"{node.name}-capture":
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
    check_statistics(node)


def heard_live(node: Input, start: int = 0) -> Listener:
    """What `node` gives until it ends by itself. Raises the error it stopped with."""
    with listening(node, start) as (scheduler, listener):
        assert scheduler.wait(PATIENCE_S)
        run = scheduler.runs[0]
        if run.error is not None:
            raise run.error
        assert run.state is State.FINISHED
    return listener


def check_statistics(node: Input) -> None:
    statistics = node.statistics()
    assert msgpack.unpackb(msgpack.packb(statistics)) == statistics


def one_line(message: str) -> str:
    assert "\n" not in message
    assert 0 < len(message) < 300
    return message


def tone(frequency: float, seconds: float, rate: int, level: float = 0.5) -> NDArray[np.float32]:
    samples: NDArray[np.float32] = level * np.sin(
        2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate
    ).astype(np.float32)
    return samples


def spectrum_peak(samples: NDArray[np.float32], rate: int) -> tuple[float, float]:
    """Frequency, to a bin, and amplitude of the strongest tone."""
    window = np.hanning(len(samples))
    power = np.abs(np.fft.rfft(samples * window)) ** 2
    peak = int(np.argmax(power))
    # Hann's main lobe holds all of the tone's power, wherever between two bins it lies.
    around = power[max(0, peak - 3) : peak + 4].sum()
    level = 2 * np.sqrt(around / (len(samples) * np.sum(window**2)))
    return peak * rate / len(samples), float(level)
