"""Running graphs: offline, live, through gaps, skips, errors and the end."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from auricle.engine.graph import Graph
from auricle.engine.marks import Gap, Skip
from auricle.engine.node import Status
from auricle.engine.run import Run, State
from auricle.engine.scheduler import LiveScheduler, _Task, passes, run_offline
from auricle.errors import AuricleError, InputError, NodeError
from tests.toys import Counter, Sink, Sums

STARTS = [0, 2**31 - 5, 2**53]
CUTS = [(1,), (7,), (5,), (64,), (1000,), (3, 1, 40, 2)]


def graph(
    start: int = 0, name: str = "g", sums: dict[str, Any] | None = None, **source: Any
) -> tuple[Graph, Sink, Sums]:
    sink, middle = Sink("sink"), Sums("sums", **(sums or {}))
    nodes = [Counter("numbers", **source), middle, sink]
    return Graph(name, nodes, [("numbers", "sums"), ("sums", "sink")], start), sink, middle


def expected(total: int, frame: int = 10, hop: int = 5, before: int = 5) -> list[float]:
    numbers = [0] * before + list(range(1, total + 1))
    return [sum(numbers[i : i + frame]) for i in range(0, len(numbers) - frame + 1, hop)]


@pytest.mark.parametrize("blocks", CUTS)
@pytest.mark.parametrize("start", STARTS)
def test_cut_and_start_do_not_matter(blocks: tuple[int, ...], start: int) -> None:
    g, sink, _ = graph(start, total=1003, blocks=blocks)
    run_offline(g)
    assert sink.values == expected(1003)


@pytest.mark.parametrize("total", [0, 1, 4, 5, 6, 10])
def test_short_streams_end(total: int) -> None:
    g, sink, _ = graph(total=total)
    run_offline(g)
    assert sink.values == expected(total)


def test_live_equals_offline() -> None:
    g, sink, _ = graph(total=5003, blocks=(3, 50, 1))
    scheduler = LiveScheduler([g])
    scheduler.start()
    assert scheduler.wait(30)
    assert scheduler.runs[0].state is State.FINISHED
    assert sink.values == expected(5003)


@pytest.mark.parametrize("blocks", CUTS)
@pytest.mark.parametrize("start", STARTS)
def test_gap_resets_and_marks_what_touches_it(blocks: tuple[int, ...], start: int) -> None:
    """Numbers 41 to 47 are missing; windows 8 to 10 (tokens 35..44, 40..49, 45..54) touch them."""
    g, sink, sums = graph(
        start, sums={"remembers": True}, total=100, blocks=blocks, gaps=[(40, 7, "xrun")]
    )
    run_offline(g)
    assert sums.resets == [8]
    (mark,) = sink.marks
    assert (mark.start - start, mark.stop - start, mark.reason) == (8, 11, "xrun")
    assert mark.source == (40, 47)
    assert isinstance(mark, Gap)
    heard = [n if not 40 < n <= 47 else 0 for n in range(1, 101)]
    windows = [sum(([0] * 5 + heard)[i : i + 10]) for i in range(0, 96, 5)]
    before, after = windows[:8], windows[8:]
    sums_of = [sum(before[: k + 1]) for k in range(8)] + [
        sum(after[: k + 1]) for k in range(len(after))
    ]
    assert sink.values == sums_of


def test_skips_are_counted_marked_and_handed_on() -> None:
    first, second, sink = (
        Sums("first"),
        Sums("second", frame_size=1, hop_size=1, before=0),
        Sink("sink"),
    )
    first.skipping = {2: "overload", 3: "overload", 7: "gap"}
    nodes = [Counter("numbers", total=60), first, second, sink]
    run_offline(Graph("g", nodes, [("numbers", "first"), ("first", "second"), ("second", "sink")]))
    assert sink.skipped == [2, 3, 7]
    assert sink.values == [v for n, v in enumerate(expected(60)) if n not in (2, 3, 7)]
    assert first.counts == {"overload": 2, "gap": 1}
    assert second.counts == {}, "counted where it happened, and only there"
    spans = [mark.source for mark in sink.marks if isinstance(mark, Skip)]
    assert spans[0] == (2 * 5, 2 * 5 + 5)


def test_error_stops_its_graph_and_no_other() -> None:
    bad, bad_sink, _ = graph(name="bad", total=1000, breaks_at=30)
    good, good_sink, _ = graph(name="good", total=20_000, blocks=(3,))
    ended: list[str] = []
    scheduler = LiveScheduler(
        [bad, good], workers=1, ended=lambda run: ended.append(run.graph.name)
    )
    scheduler.start()
    assert scheduler.wait(60)
    broken, fine = scheduler.runs
    assert broken.state is State.FAILED
    assert str(broken.error) == "numbers: the line was cut"
    assert broken.statistics()["error"] == "numbers: the line was cut"
    assert fine.state is State.FINISHED
    assert good_sink.values == expected(20_000)
    assert ended == ["bad", "good"]
    assert bad_sink.stops == good_sink.stops == 1


class Surprised(Sink):
    """Fails in a way that nobody foresaw."""

    def process(self) -> Status:
        if self.port.reader.windows():
            raise ZeroDivisionError("division by zero")
        return super().process()


def test_unforeseen_error_names_the_node() -> None:
    g = Graph("g", [Counter("a"), Surprised("b")], [("a", "b")])
    with pytest.raises(NodeError, match="b: ZeroDivisionError: division by zero") as caught:
        run_offline(g)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_without_runs_there_is_something_to_wait_for() -> None:
    scheduler = LiveScheduler([], workers=1)
    scheduler.start()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(scheduler.wait, 60)
        g, sink, _ = graph(name="late", total=100)
        scheduler.add(g)
        assert waiting.result(60)
    assert sink.values == expected(100)
    scheduler.remove(scheduler.runs[0])
    assert not scheduler.wait(0.01)
    scheduler.close()


def test_a_run_is_opening_until_all_nodes_are_open() -> None:
    seen: list[State] = []

    class Slow(Sink):
        def start(self) -> None:
            super().start()
            seen.append(run.state)

    run = Run(Graph("g", [Counter("a"), Slow("sink")], [("a", "sink")]))
    run.start()
    assert (seen, run.state) == ([State.OPENING], State.RUNNING)
    run.close()


class Closed(Counter):
    """Cannot be opened."""

    def start(self) -> None:
        raise InputError("no such device")


def test_error_at_start_stops_what_was_started() -> None:
    sink = Sink("sink")
    run = Run(Graph("g", [Closed("a"), sink], [("a", "sink")]))
    run.start()
    assert run.ending is State.FAILED
    run.close()
    assert run.state is State.FAILED
    assert str(run.error) == "a: no such device"
    assert sink.stops == 1


class Deaf(Sink):
    """Never reads."""

    def process(self) -> Status:
        return Status.NO_INPUT


def test_graph_that_stands_still_says_so() -> None:
    g = Graph("g", [Counter("a", total=10_000), Deaf("b")], [("a", "b")])
    with pytest.raises(AuricleError, match="graph 'g' is stuck"):
        run_offline(g)


def test_stop_of_an_endless_graph() -> None:
    g, sink, _ = graph(endless=True)
    sink.wanted = 1000
    scheduler = LiveScheduler([g])
    scheduler.start()
    assert sink.enough.wait(30)
    assert not scheduler.stop("another")
    assert scheduler.stop("g")
    assert scheduler.wait(30)
    assert scheduler.runs[0].state is State.STOPPED
    assert sink.stops == 1


def test_passes_can_be_abandoned() -> None:
    g, sink, _ = graph(endless=True)
    iterator = passes(g)
    run = next(iterator)
    iterator.close()
    assert run.state is State.STOPPED
    assert sink.stops == 1


class Quiet(Counter):
    """Has nothing until another thread brings it something."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.brought = threading.Event()
        self.asked = threading.Event()

    def process(self) -> Status:
        self.asked.set()
        return super().process() if self.brought.is_set() else Status.NO_INPUT


def test_worker_wakes_when_a_source_has_something() -> None:
    source, sink = Quiet("a", total=20), Sink("b")
    scheduler = LiveScheduler([Graph("g", [source, sink], [("a", "b")])])
    scheduler.start()
    assert source.asked.wait(10)
    source.brought.set()
    source.context.wake()
    assert scheduler.wait(10)
    assert len(sink.values) == 20


class Paced(Counter):
    """Asks to be called at a time."""

    def process(self) -> Status:
        now = time.monotonic_ns()
        if self.wake_ns is None:
            self.wake_ns = now + 20_000_000
        if now < self.wake_ns:
            return Status.NO_INPUT
        return super().process()


def test_worker_calls_a_node_when_it_asked_to_be_called() -> None:
    source, sink = Paced("a", total=20), Sink("b")
    scheduler = LiveScheduler([Graph("g", [source, sink], [("a", "b")])])
    scheduler.start()
    assert scheduler.wait(10)
    assert len(sink.values) == 20


def test_statistics_count_tokens_by_node() -> None:
    g, _, _ = graph(total=100)
    for run in passes(g):
        statistics = run.statistics()
    assert statistics["nodes"]["numbers"]["tokens"] == {"tokens": 100}
    assert statistics["nodes"]["sums"]["tokens"] == {"sums": len(expected(100))}
    assert statistics["state"] == "finished"


class Stuck(Sink):
    """Raises when it is closed, and when it is notified of an error."""

    def fail(self, error: AuricleError) -> None:
        raise OSError("no ears")

    def stop(self) -> None:
        raise OSError("jammed")


def test_node_that_cannot_be_stopped_hurts_nobody_else() -> None:
    stuck = Graph("bad", [Counter("a", total=100, breaks_at=30), Stuck("b")], [("a", "b")])
    good, sink, _ = graph(name="good", total=20_000, blocks=(3,))
    scheduler = LiveScheduler([stuck, good], workers=1)
    scheduler.start()
    assert scheduler.wait(60)
    assert [run.state for run in scheduler.runs] == [State.FAILED, State.FINISHED]
    assert str(scheduler.runs[0].error) == "a: the line was cut"
    assert sink.values == expected(20_000)


@pytest.mark.slow
def test_graphs_come_and_go_while_others_run() -> None:
    first, sink, _ = graph(name="first", endless=True)
    scheduler = LiveScheduler([first], workers=2)
    scheduler.start()
    assert sink.enough.wait(30)
    for n in range(20):
        g, _, _ = graph(name=f"g{n}", total=200)
        run = scheduler.add(g)
        if n % 2:
            scheduler.stop(g.name)
        while not run.over:
            time.sleep(0.001)
        assert run.state in (State.FINISHED, State.STOPPED)
        scheduler.remove(run)
    assert [run.graph.name for run in scheduler.runs] == ["first"]
    scheduler.remove(scheduler.runs[0])
    assert len(scheduler.runs) == 1, "what runs is not forgotten"
    scheduler.close()
    assert scheduler.runs[0].state is State.STOPPED


def test_graphs_are_dealt_out_evenly() -> None:
    graphs = [graph(name=f"g{n}", endless=True)[0] for n in range(6)]
    scheduler = LiveScheduler(graphs[:4], workers=2)
    assert [worker.owned for worker in scheduler._workers] == [2, 2]
    scheduler.start()
    scheduler.stop("g0")
    scheduler.stop("g2")
    # Until none is on its way to another worker either, which takes a turn of its own.
    wait_for(
        lambda: (
            [worker.owned for worker in scheduler._workers] == [1, 1]
            and all(task.move_to is None for task in scheduler._tasks if not task.run.over)
        )
    )
    for g in graphs[4:]:
        scheduler.add(g)
    assert [worker.owned for worker in scheduler._workers] == [2, 2]
    scheduler.close()
    assert [worker.owned for worker in scheduler._workers] == [0, 0]


@pytest.mark.slow
def test_workers_share_what_is_left() -> None:
    graphs, sinks = [], []
    for n in range(12):
        g, sink, _ = graph(name=f"g{n}", endless=True)
        graphs.append(g)
        sinks.append(sink)
    scheduler = LiveScheduler(graphs, workers=3)
    scheduler.start()
    first = scheduler._workers[0]
    for task in [task for task in scheduler._tasks if task.worker is not first]:
        scheduler.stop(task.run.graph.name)

    def shared() -> bool:
        """Whether each has its part, and none is on its way to another."""
        left = [task for task in scheduler._tasks if not task.run.over]
        owned = sorted(worker.owned for worker in scheduler._workers)
        return owned == [1, 1, 2] and all(task.worker is task.owner for task in left)

    wait_for(shared)
    for task, sink in zip(scheduler._tasks, sinks, strict=True):
        if not task.run.over:
            sink.wanted = len(sink.values) + 1000
            sink.enough.clear()
            assert sink.enough.wait(300), "they continue"
            assert sink.values[:500] == expected(3000)[:500]
    scheduler.close()


def test_nothing_is_added_while_it_closes() -> None:
    endless, sink, _ = graph(endless=True)
    scheduler = LiveScheduler([endless])
    scheduler.start()
    assert sink.enough.wait(30)
    adding = threading.Event()
    scheduler._ended = lambda run: adding.set()
    scheduler.close()
    assert adding.is_set()
    with pytest.raises(AuricleError, match="the engine is stopping"):
        scheduler.add(graph(name="late")[0])
    assert len(scheduler.runs) == 1


@pytest.mark.parametrize("about", ["opened", "ended"])
def test_a_listener_that_fails_stops_nobody(about: str, caplog: pytest.LogCaptureFixture) -> None:
    def listen(run: Run) -> None:
        raise ValueError("no ears")

    graphs = [graph(name=f"g{n}", total=50)[0] for n in range(3)]
    listeners: dict[str, Any] = {about: listen}
    scheduler = LiveScheduler(graphs, **listeners)
    scheduler.start()
    assert scheduler.wait(30)
    scheduler.close()
    assert caplog.text.count("its state could not be reported") == 3
    assert [run.state for run in scheduler.runs] == [State.FINISHED] * 3


class Slow(Sink):
    """Takes its time to open, or to close: until it is let go."""

    def __init__(self, name: str, go: threading.Event, opening: bool) -> None:
        super().__init__(name)
        self.go, self.opening = go, opening

    def start(self) -> None:
        assert not self.opening or self.go.wait(30)

    def stop(self) -> None:
        assert self.opening or self.go.wait(30)
        super().stop()


@pytest.mark.parametrize("opening", [True, False])
def test_opening_or_closing_slowly_holds_up_nobody(opening: bool) -> None:
    go = threading.Event()
    slow = Graph("slow", [Counter("a", total=10), Slow("b", go, opening)], [("a", "b")])
    good, sink, _ = graph(name="good", total=20_000)
    scheduler = LiveScheduler([slow, good], workers=1)
    scheduler.start()
    while not scheduler.runs[1].over:
        time.sleep(0.001)
    assert sink.values == expected(20_000)
    assert not scheduler.runs[0].over
    go.set()
    assert scheduler.wait(30)
    assert scheduler.runs[0].state is State.FINISHED


class Waiting(Counter):
    """Waits for a thread that ends when it is interrupted."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.interrupted = threading.Event()

    def process(self) -> Status:
        return Status.NO_INPUT

    def interrupt(self) -> None:
        self.interrupted.set()

    def stop(self) -> None:
        assert self.interrupted.is_set()


def test_sources_are_interrupted_before_they_are_stopped() -> None:
    source, sink = Waiting("a"), Sink("b")
    scheduler = LiveScheduler([Graph("g", [source, sink], [("a", "b")])])
    scheduler.start()
    scheduler.close()
    assert (scheduler.runs[0].state, sink.stops) == (State.STOPPED, 1)


def test_one_that_always_has_something_leaves_the_others_their_turn() -> None:
    greedy, _, _ = graph(name="greedy", endless=True)
    good, sink, _ = graph(name="good", total=2000)
    scheduler = LiveScheduler([greedy, good], workers=1)
    scheduler.start()
    while not scheduler.runs[1].over:
        time.sleep(0.001)
    assert sink.values == expected(2000)
    assert not scheduler.runs[0].over
    scheduler.close()


def test_a_run_is_reported_before_its_nodes_are_called() -> None:
    """So that what is said of it comes before what it gives."""
    g, sink, _ = graph(total=50)
    seen: list[tuple[str, int]] = []
    scheduler = LiveScheduler(
        [g],
        opened=lambda run: seen.append((run.state.value, len(sink.values))),
        ended=lambda run: seen.append((run.state.value, len(sink.values))),
    )
    scheduler.start()
    assert scheduler.wait(30)
    scheduler.close()
    assert seen == [("running", 0), ("finished", 10)]


def test_closing_what_was_never_started_waits_for_nothing() -> None:
    scheduler = LiveScheduler([graph()[0]])
    scheduler.close()
    assert [run.state for run in scheduler.runs] == [State.OPENING]


def test_an_error_outside_of_the_nodes_ends_that_run_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good, sink, _ = graph(name="good", endless=True)
    bad, _, _ = graph(name="bad", endless=True)
    scheduler = LiveScheduler([good, bad], workers=1)
    scheduler.start()
    assert sink.enough.wait(30)

    def advance() -> bool:
        raise MemoryError("no more of it")

    good_run, bad_run = scheduler.runs
    monkeypatch.setattr(bad_run, "advance", advance)
    wait_for(lambda: bad_run.over)
    assert bad_run.state is State.FAILED
    assert str(bad_run.error) == "MemoryError: no more of it"
    assert "bad: the engine failed" in caplog.text
    before = len(sink.values)
    wait_for(lambda: len(sink.values) > before)
    assert not good_run.over
    scheduler.close()
    assert good_run.state is State.STOPPED


def test_a_run_without_a_thread_fails_and_later_ones_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        if self.name.startswith("worker"):
            raise RuntimeError("can't start new thread")
        real(self)

    real = threading.Thread.start
    scheduler = LiveScheduler(workers=1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        scheduler.start()
        run = scheduler.add(graph(name="first")[0])
        wait_for(lambda: run.over)
    assert str(run.error) == "RuntimeError: can't start new thread"
    g, sink, _ = graph(name="second", total=100)
    run = scheduler.add(g)
    wait_for(lambda: run.over)
    assert run.state is State.FINISHED
    assert sink.values == expected(100)
    scheduler.close()


def test_a_run_that_ends_while_it_is_being_opened_is_closed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def queue(self: _Task) -> None:
        real(self)
        if threading.current_thread().name.startswith("opener"):
            wait_for(lambda: self.run.over)

    real = _Task.queue
    monkeypatch.setattr(_Task, "queue", queue)
    ended: list[Run] = []
    scheduler = LiveScheduler(ended=ended.append)
    scheduler.start()
    run = scheduler.add(graph(total=10)[0])
    wait_for(lambda: run.over)
    scheduler.close()
    assert ended == [run]
    assert [worker.owned for worker in scheduler._workers] == [0]


def wait_for(what: Callable[[], bool]) -> None:
    """Wait until `what` holds, for as long as pytest lets a test run."""
    while not what():
        time.sleep(0.001)
