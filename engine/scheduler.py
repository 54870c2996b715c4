"""Which thread calls the nodes, and when.

Offline: the caller's thread runs one graph from end to end, as fast as it goes. Live: worker
threads own a set of graphs each, call in turn those for which something has arrived or whose timer
has expired, and sleep while no graph has work. Capture runs on separate threads, in the input
nodes; graphs are opened and closed, which may wait for a device or a server, on another pool.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from auricle.engine.backoff import USUAL, Backoff
from auricle.engine.context import Context, Outage, Outlet
from auricle.engine.cpu_quota import cpu_quota
from auricle.engine.graph import Graph
from auricle.engine.overload import Ladder
from auricle.engine.run import Run
from auricle.errors import AuricleError

log = logging.getLogger(__name__)

IDLE_S = 1.0
"""Seconds after which a graph is called even if nothing has asked for it."""

OPENERS = 32
"""Most graphs that are opened or closed at the same time."""


def usable_cores() -> int:
    """Number of CPU cores that this process may run on, as far as a container's quota goes."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def passes(graph: Graph, context: Context | None = None) -> Generator[Run, None, None]:
    """Run `graph` to its end, yielding after every pass over its nodes.

    The source must not wait for time to pass. Work that nodes hand to other threads is waited for
    here. Closing the iterator stops the graph.

    Args:
        graph: Graph to run, on the thread of whoever iterates.
        context: Context for its nodes, except `wake`, which is set here; by default the name of the
            graph and whether it is live.

    Yields:
        The run, after each pass.

    Raises:
        AuricleError: The error that stopped the graph.
    """
    arrived = threading.Event()
    context = context or Context(graph.name, graph.live)
    run = Run(graph, replace(context, wake=arrived.set))
    run.start()
    try:
        while run.ending is None:
            arrived.clear()  # before the nodes are called, so that no arrival is missed
            if not run.advance() and run.ending is None:
                if not run.under_way:
                    raise AuricleError(f"graph {graph.name!r} is stuck: no node can make progress")
                arrived.wait()
            yield run
    finally:
        run.close()
    if run.error is not None:
        raise run.error


def run_offline(graph: Graph, context: Context | None = None) -> None:
    """Run `graph` to its end, as fast as it goes. Arguments and errors are those of `passes`."""
    for _ in passes(graph, context):
        pass


class LiveScheduler:
    """Runs graphs on worker threads until they end or are stopped; they come and go while it works.

    Any thread may call its methods.

    Args:
        graphs: Graphs to begin with.
        workers: Number of worker threads.
        ended: Function called, on a thread of the scheduler, with each run that is over.
        outlet: Destination of the messages of all graphs; None where nobody listens.
        opened: Function called, on a thread of the scheduler, with each run whose nodes have been
            opened, before they are called for the first time.
        outage: Function called, on the source's thread, with each run whose source has begun or
            ceased to wait for audio, or waits for another reason; see `Run.outage`.
        ladder: Ladder that decides on the windows to leave out; a new one by default.
        admit: Function called before each run is opened, which fails with the `AuricleError` that
            this raises.

    Attributes:
        ladder: Ladder that all live graphs are on.
    """

    def __init__(
        self,
        graphs: Iterable[Graph] = (),
        workers: int = 1,
        ended: Callable[[Run], None] | None = None,
        outlet: Outlet | None = None,
        opened: Callable[[Run], None] | None = None,
        outage: Callable[[Run], None] | None = None,
        ladder: Ladder | None = None,
        admit: Callable[[], None] | None = None,
    ) -> None:
        self._admit = admit
        self.ladder = ladder or Ladder()
        self._ended = ended
        self._opened = opened
        self._outage = outage
        self._outlet = outlet
        self._changed = threading.Condition()
        # Written under `_changed`. The list is replaced, never modified, so that any thread may
        # iterate over it without the lock.
        self._tasks: list[_Task] = []
        self._started = self._closing = False
        self._workers = [_Worker(self._finish, f"worker-{i}") for i in range(workers)]
        self._openers = ThreadPoolExecutor(OPENERS, "opener")
        for graph in graphs:
            self.add(graph)

    @property
    def runs(self) -> list[Run]:
        """The runs, in the order in which they were added."""
        return [task.run for task in self._tasks]

    @property
    def workers(self) -> int:
        """Number of worker threads."""
        return len(self._workers)

    def add(self, graph: Graph, backoff: Backoff = USUAL) -> Run:
        """Run another graph, on the worker that has the fewest.

        Args:
            graph: Graph to run.
            backoff: Pauses of its source between tries.

        Returns:
            The run, which is opened once the scheduler is started.

        Raises:
            AuricleError: The scheduler is being closed.
        """
        with self._changed:
            if self._closing:
                raise AuricleError("the engine is stopping")
            worker = min(self._workers, key=lambda each: each.owned)
            context = Context(
                stream=graph.name,
                live=graph.live,
                place=self.ladder.join() if graph.live else None,
                outlet=self._outlet,
                backoff=backoff,
            )
            task = _Task(graph, worker, context, self._note_outage)
            worker.adopt()
            self._tasks = [*self._tasks, task]
            if self._started:
                self._openers.submit(self._open, task)
        return task.run

    def remove(self, run: Run) -> None:
        """Forget a run, provided that it is over."""
        with self._changed:
            self._tasks = [task for task in self._tasks if task.run is not run or not run.over]

    def start(self) -> None:
        """Start the graphs added so far; those added later start immediately."""
        with self._changed:
            self._started = True
            for task in self._tasks:
                self._openers.submit(self._open, task)

    def stop(self, name: str | None = None) -> bool:
        """Request that graphs stop, without waiting for it.

        Args:
            name: Name of the graph; None for all.

        Returns:
            Whether there was such a graph that was not over.
        """
        found = [
            task
            for task in self._tasks
            if name in (None, task.run.graph.name) and not task.run.over
        ]
        for task in found:
            task.run.request_stop()
        for task in found:
            task.queue()
        return bool(found)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there are runs and all of them are over.

        Args:
            timeout_s: Most seconds to wait; None waits for ever.

        Returns:
            Whether that is so, rather than the time being up.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: bool(self._tasks) and all(task.run.over for task in self._tasks), timeout_s
            )

    def close(self) -> None:
        """Stop all graphs and wait until they have. No graph can be added after that."""
        with self._changed:
            self._closing = True
        self.stop()
        if self._tasks and self._started:
            self.wait()
        self._openers.shutdown()

    def _open(self, task: _Task) -> None:
        try:
            if self._admit is not None:
                self._admit()
        except AuricleError as error:
            task.run.fail(error)
        else:
            task.run.start()
        if task.run.ending is None:
            self._report(self._opened, task.run)
            task.open = True
            try:
                task.queue()
                return  # from here on its worker runs it, and may have ended it already
            except RuntimeError as error:  # the system gives no thread to run it on
                task.open = False
                task.run.fail(error)
        self._close(task)

    def _finish(self, task: _Task) -> None:
        """Close a run that has ended, on another thread than its worker's, which others need."""
        try:
            self._openers.submit(self._close, task)
        except RuntimeError:  # no thread could be started for it
            self._close(task)

    def _close(self, task: _Task) -> None:
        task.run.close()
        if (place := task.run.context.place) is not None:
            self.ladder.leave(place)
        self._report(self._ended, task.run)
        with self._changed:
            task.worker.release()
            self._balance()
            self._changed.notify_all()

    def _note_outage(self, run: Run) -> None:
        self._report(self._outage, run)

    def _report(self, listener: Callable[[Run], None] | None, run: Run) -> None:
        try:
            if listener is not None:
                listener(run)
        except Exception:  # a listener's failure must not keep other graphs from being served
            log.exception("%s: its state could not be reported", run.graph.name)

    def _balance(self) -> None:
        """Move a run from the worker that owns the most to the one that owns the fewest."""
        owned = Counter(dict.fromkeys(self._workers, 0))
        owned.update(task.owner for task in self._tasks if not task.run.over)
        ranked = owned.most_common()
        (most, high), (fewest, low) = ranked[0], ranked[-1]
        if high - low > 1:
            task = next((task for task in self._tasks if task.owner is most and task.open), None)
            if task is not None:
                task.move_to = fewest


class _Task:
    """A run and its worker.

    Attributes:
        run: Run to advance.
        worker: Worker that owns it. Written by the present worker's thread when it hands the run
            over; a thread that still sees the old worker queues it there, and that passes it on.
        move_to: Worker that it is to have from its next turn on. Written under the scheduler's
            lock; cleared by the present worker when it hands the run over.
        open: Whether it can be advanced: set by the opener's thread once it has started, cleared
            by its worker when it has ended, or by the opener's if no thread could be had for it.
        queued: Whether it is among a worker's ready runs; written under that worker's lock.
        wake_ns: Monotonic time of its next timer; written by its worker's thread.
    """

    def __init__(
        self,
        graph: Graph,
        worker: _Worker,
        context: Context,
        outage_changed: Callable[[Run], None],
    ) -> None:
        context = replace(context, wake=self.queue, report_outage=self._report_outage)
        self.run = Run(graph, context)
        self._outage_changed = outage_changed
        self.worker = worker
        self.move_to: _Worker | None = None
        self.open = False
        self.queued = False
        self.wake_ns: int | None = None

    @property
    def owner(self) -> _Worker:
        """The worker that owns it, or is about to."""
        return self.move_to or self.worker

    def queue(self) -> None:
        """Advance it as soon as the runs queued before it have been. Callable from any thread."""
        self.worker.queue(self)

    def _report_outage(self, outage: Outage | None) -> None:
        self.run.outage = outage
        self._outage_changed(self.run)


class _Worker:
    """Advances those of its runs that have something to do, in turn.

    It has a thread from the first time that a run is queued until it owns none.

    Attributes:
        owned: Number of runs that it owns; written under the condition's lock.
    """

    def __init__(self, finished: Callable[[_Task], None], name: str) -> None:
        self.owned = 0
        self._finished = finished
        self._name = name
        self._condition = threading.Condition()
        self._ready: deque[_Task] = deque()  # under the lock
        self._running = False  # whether there is a thread; under the lock
        self._timers: list[tuple[int, int, _Task]] = []  # used on its own thread only
        self._numbers = itertools.count()  # break ties between timers

    def adopt(self) -> None:
        """Own one more run."""
        with self._condition:
            self.owned += 1

    def release(self) -> None:
        """Own one run less, and end the thread if that was the last."""
        with self._condition:
            self.owned -= 1
            self._condition.notify()

    def queue(self, task: _Task) -> None:
        """See `_Task.queue`.

        Raises:
            RuntimeError: The system gives no thread to run it on.
        """
        # Without the lock: a thread that clears `queued`, or sets `open`, looks at the run, or
        # queues it, after that, so nothing that came before is missed.
        if task.queued or not task.open:
            return
        with self._condition:
            if not task.queued:
                task.queued = True
                self._ready.append(task)
                self._condition.notify()
            if not self._running:
                try:
                    threading.Thread(target=self._run, name=self._name, daemon=True).start()
                except RuntimeError:
                    task.queued = False
                    self._ready.remove(task)
                    raise
                self._running = True

    def _run(self) -> None:
        while (task := self._next()) is not None:
            if not task.open:  # it was queued again while it ended
                continue
            if task.worker is not self:  # it was queued here while it was handed over
                task.queue()
                continue
            try:
                if task.move_to is not None:
                    self._hand_over(task, task.move_to)
                    continue
                again = task.run.advance()
                if task.run.ending is not None:
                    self._end(task)
                elif again:
                    task.queue()
                else:
                    self._set_timer(task)
            except Exception as error:  # an error outside of the nodes ends this run only
                log.exception("%s: the engine failed", task.run.graph.name)
                task.run.fail(error)
                self._end(task)

    def _end(self, task: _Task) -> None:
        task.open = False
        self._finished(task)

    def _hand_over(self, task: _Task, other: _Worker) -> None:
        """Give a run to another worker, which advances it only once `task.worker` is that one."""
        other.adopt()
        task.move_to = task.wake_ns = None
        task.worker = other  # last: from here on the other worker may be advancing it
        self.release()
        task.queue()

    def _next(self) -> _Task | None:
        """Wait for the next run to advance; None when the worker owns none."""
        with self._condition:
            while self.owned or self._ready:
                now = time.monotonic_ns()
                while self._timers and self._timers[0][0] <= now:
                    at, _, task = heapq.heappop(self._timers)
                    if task.wake_ns == at:
                        task.wake_ns = None
                        if not task.queued:
                            task.queued = True
                            self._ready.append(task)
                if self._ready:
                    task = self._ready.popleft()
                    task.queued = False
                    return task
                self._condition.wait((self._timers[0][0] - now) / 1e9 if self._timers else None)
            self._running = False
            self._timers.clear()
        return None

    def _set_timer(self, task: _Task) -> None:
        """Queue a run at the time that it asks for, unless something arrives before."""
        at = time.monotonic_ns() + round(IDLE_S * 1e9)
        if (wanted := task.run.wake_ns) is not None:
            at = min(at, wanted)
        # A timer that is too early does no harm; setting another every time would.
        if task.wake_ns is None or at < task.wake_ns:
            task.wake_ns = at
            heapq.heappush(self._timers, (at, next(self._numbers), task))
