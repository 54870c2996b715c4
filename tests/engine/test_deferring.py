"""Windows computed on other threads: the same tokens, marks and end as on the node's own."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.engine.deferring import Deferring, Job
from auricle.engine.graph import Graph
from auricle.engine.marks import Gap, Mark, Skip
from auricle.engine.node import NodeParams, Status
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.run import State
from auricle.engine.scheduler import LiveScheduler, passes, run_offline
from auricle.engine.stream import Axis
from auricle.errors import InputError
from tests.toys import FLOAT32, Counter, Sink

FRAME, HOP = 10, 5


class Sum:
    """A window with a helper."""

    def __init__(self, number: int, window: NDArray[Any]) -> None:
        self.number = number
        self.window = window.copy()
        self.total = 0.0
        self.done = False


class Helper(threading.Thread):
    """Sums windows of one node, in any order.

    Attributes:
        most: Windows that it had at one time.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(daemon=True)
        self.jobs: list[Sum] = []
        self.most = 0
        self.arrived: Any = None
        self.changed = threading.Condition()
        self.rng = np.random.default_rng(seed)
        self.over = False

    def add(self, job: Sum) -> None:
        with self.changed:
            self.jobs.append(job)
            self.most = max(self.most, len(self.jobs))
            self.changed.notify_all()

    def run(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.jobs or self.over)
                if self.over:
                    return
                job = self.jobs[self.rng.integers(len(self.jobs))]
            job.total = float(job.window.sum())
            with self.changed:
                self.jobs.remove(job)
                job.done = True
            self.arrived()


class GivenParams(NodeParams):
    helped: bool = True
    most: int = 3
    seed: int = 0


class Given(Deferring[GivenParams]):
    """Sums of windows, by a helper or not; some are skipped, some come to nothing."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        port = InputPort("numbers", "Numbers.", FLOAT32, None, None, FRAME, HOP)
        self.add_output(
            OutputPort("sums", "Sums.", FLOAT32, (Axis("sum", 1),), follows=self.add_input(port))
        )
        self.skipping: dict[int, str] = {}
        self.late: set[int] = set()
        self.breaks_at: int | None = None
        self.resets: list[int] = []
        self.helper = Helper(self.params.seed)

    def start(self) -> None:
        if self.params.helped:
            self.places = self.params.most
            self.helper.arrived = self.context.wake
            self.helper.start()

    def reset(self) -> None:
        self.resets.append(self.reader.number)

    def declined(self, count: int) -> tuple[int, str | None]:
        return (1, self.skipping.get(self.reader.number)) if self.skipping else (count, None)

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        for row in range(len(outputs["sums"])):
            outputs["sums"][row] = windows[row * HOP : row * HOP + FRAME].sum()

    def hand_out(self, window: NDArray[Any]) -> Sum:
        number = self.reader.number + self._queued
        self._queued += 1
        job = Sum(number, window)
        self.helper.add(job)
        return job

    def serve(self, count: int, streams: Any) -> None:
        self._queued = 0
        super().serve(count, streams)

    def accept(self, job: Job, outputs: dict[str, NDArray[Any]]) -> str | None:
        assert isinstance(job, Sum)
        if job.number == self.breaks_at:
            raise InputError("broken")
        if job.number in self.late:
            return "late"
        outputs["sums"][0] = job.total
        return None

    def stop(self) -> None:
        super().stop()
        with self.helper.changed:
            self.helper.over = True
            self.helper.changed.notify_all()


GAPS = ((23, 4, "xrun"), (61, 30, "reconnect"), (180, 1, "xrun"))


def graph(
    name: str = "g", gaps: Any = GAPS, total: int = 300, **params: Any
) -> tuple[Graph, Given, Sink]:
    blocks = params.pop("blocks", (7,))
    source = Counter("in", total=total, blocks=blocks, gaps=gaps)
    node, sink = Given("sums", **params), Sink("out")
    return Graph(name, [source, node, sink], [("in", "sums"), ("sums", "out")]), node, sink


def described(marks: list[Mark]) -> list[tuple[Any, ...]]:
    """Gaps, and skips token by token: how many are skipped in one go is nobody's business."""
    found: list[tuple[Any, ...]] = []
    for mark in marks:
        if isinstance(mark, Gap):
            found.append(("gap", mark.start, mark.stop, mark.reason, mark.source))
        elif isinstance(mark, Skip):
            found += [("skip", n, mark.reason) for n in range(mark.start, mark.stop)]
    return sorted(found, key=str)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("most", [1, 2, 7, 1000])
def test_same_as_when_it_computes_them_itself(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    skipping = {int(n): "hop" for n in rng.integers(0, 59, 12)}
    late = {int(n) for n in rng.integers(0, 59, 5)} - skipping.keys()
    blocks = tuple(map(int, rng.integers(1, 40, 5)))
    expected, plain, plain_sink = graph(helped=False, blocks=blocks)
    plain.skipping = skipping | dict.fromkeys(late, "late")
    run_offline(expected)
    found, node, sink = graph(most=most, seed=seed, blocks=blocks)
    node.skipping, node.late = skipping, late
    run_offline(found)
    assert len(plain_sink.values) == 59 - len(plain.skipping)
    assert sink.values == plain_sink.values
    assert described(sink.marks) == described(plain_sink.marks)
    assert node.resets == plain.resets
    assert node.counts == plain.counts
    assert 1 <= node.helper.most <= most
    assert node.under_way == 0


def test_many_live_streams_at_once() -> None:
    expected, _, plain_sink = graph(helped=False)
    run_offline(expected)
    graphs = [graph(f"g{n}", seed=n, most=1 + n % 4) for n in range(20)]
    scheduler = LiveScheduler([each for each, _, _ in graphs], workers=2)
    scheduler.start()
    assert scheduler.wait(60)
    assert [run.state for run in scheduler.runs] == [State.FINISHED] * 20
    for _, _, sink in graphs:
        assert sink.values == plain_sink.values
        assert described(sink.marks) == described(plain_sink.marks)
    scheduler.close()


def test_one_that_fails_ends_its_stream_and_no_other() -> None:
    bad, node, sink = graph("bad")
    node.breaks_at = 7
    good, _, other = graph("good", gaps=())
    scheduler = LiveScheduler([bad, good])
    scheduler.start()
    assert scheduler.wait(60)
    assert [run.state for run in scheduler.runs] == [State.FAILED, State.FINISHED]
    assert str(scheduler.runs[0].error) == "sums: broken"
    assert len(sink.values) == 7, "what came before it is handed on"
    assert len(other.values) == 59
    assert node.under_way == 0
    scheduler.close()


class Silent(Helper):
    """Never comes to an end."""

    def run(self) -> None:
        return


def test_stopping_with_windows_under_way() -> None:
    stuck, node, sink = graph("stuck", gaps=())
    node.helper = Silent(0)
    good, _, other = graph("good", gaps=())
    scheduler = LiveScheduler([stuck, good])
    scheduler.start()
    assert scheduler.wait(2) is False
    assert len(other.values) == 59, "a node that waits for others keeps no worker"
    assert node.under_way == 3
    assert scheduler.stop("stuck")
    assert scheduler.wait(60)
    assert scheduler.runs[0].state is State.STOPPED
    assert sink.values == []
    scheduler.close()


def test_nothing_is_handed_out_that_has_no_place_behind() -> None:
    """The output is a ring: what is under way has its place there already."""
    found, node, sink = graph(total=20_000, most=10_000, gaps=(), blocks=(9999,))
    capacity = found.nodes["sums"].outputs["sums"].stream.ring.capacity
    run_offline(found)
    assert len(sink.values) == 3999
    assert node.helper.most <= capacity < 3999


def test_what_is_written_may_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads it stands behind, so there is more to do in one call."""
    found, node, _ = graph(total=20_000, gaps=(), blocks=(20_000,))
    source = found.nodes["in"]
    node.places = 10**6  # with nobody at work on them
    jobs: list[Sum] = []
    monkeypatch.setattr(node.helper, "add", jobs.append)
    while node.process() is not Status.NO_ROOM:
        source.process()
    assert node.under_way == len(jobs) == node.outputs["sums"].stream.ring.capacity
    jobs[0].done = True
    assert node.process() is Status.OK
    assert node.outputs["sums"].stream.written == 1
    assert node.process() is Status.NO_ROOM


def test_what_is_under_way_keeps_the_level_it_was_handed_out_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, node, _ = graph(total=20, gaps=(), blocks=(20,))
    found.nodes["in"].process()
    node.places, jobs = 2, list[Sum]()

    def take(job: Sum) -> None:
        node.level = f"level {job.number}"
        jobs.append(job)

    monkeypatch.setattr(node.helper, "add", take)
    node.process()
    assert node.under_way == 2
    node.level = "the next one"
    for job in jobs:
        job.done = True
    stream = node.outputs["sums"].stream
    while stream.written < stream.start + 2:
        node.process()
    assert [stream.committed(stream.start + n).level for n in range(2)] == ["level 0", "level 1"]


def test_offline_waits_without_asking_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found, node, sink = graph(total=20, gaps=())
    helper = node.helper
    hold = threading.Event()
    add = helper.add

    def release(job: Sum) -> None:
        hold.set()
        add(job)

    def later(job: Sum) -> None:
        threading.Timer(0.2, release, [job]).start()

    monkeypatch.setattr(helper, "add", later)
    count = 0
    for count, run in enumerate(passes(found)):  # noqa: B007
        pass
    assert hold.is_set()
    assert sink.values == [55.0, 105.0, 155.0]
    assert run.state is State.FINISHED
    assert count < 100, "thousands, if it did not wait"
