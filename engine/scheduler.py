"""Who calls the nodes, and when.

Offline: one graph, from end to end, as fast as it goes. Live: worker threads that each own a set of graphs
and sleep while nothing can be done. Capture has threads of its own, in the input nodes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from engine.errors import AuricleError
from engine.graph import Graph
from engine.node import Source
from engine.run import Run, State

IDLE_S = 0.25
"""Longest sleep of a worker; bounds how late it hears that it is to stop."""


def passes(graph: Graph) -> Iterator[Run]:
    """Run `graph` to its end, stopping after every pass over its nodes.

    The source must not wait for time to pass. Closing the iterator stops the graph.

    Yields:
        The run, after each pass.

    Raises:
        AuricleError: What stopped the graph.
    """
    run = Run(graph)
    run.start()
    try:
        while not run.over:
            if not run.advance() and not run.over:
                raise AuricleError(f"graph {graph.name!r} stands still: no node can go on")
            yield run
    finally:
        if not run.over:
            run.request_stop()
            run.advance()
    if run.error is not None:
        raise run.error


def run_offline(graph: Graph) -> None:
    """Run `graph` to its end, as fast as it goes. Errors are those of `passes`."""
    for _ in passes(graph):
        pass


class LiveScheduler:
    """Runs graphs on worker threads until they end or are stopped.

    Args:
        graphs: Dealt out to the workers in turn.
        workers: Threads.
        ended: Called, on the worker's thread, with each run that is over.
    """

    def __init__(
        self, graphs: Iterable[Graph], workers: int = 1, ended: Callable[[Run], None] | None = None
    ) -> None:
        self.runs = [Run(graph) for graph in graphs]
        self._workers = [_Worker(self.runs[i::workers], ended, f"worker-{i}") for i in range(workers)]

    def start(self) -> None:
        """Start the workers; each starts its graphs."""
        for worker in self._workers:
            worker.start()

    def stop(self, name: str | None = None) -> bool:
        """Ask the graph of this name to stop, or all; returns whether there was one."""
        found = [run for run in self.runs if name in (None, run.graph.name) and not run.over]
        for run in found:
            run.request_stop()
        for worker in self._workers:
            worker.wake.set()
        return bool(found)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until all runs are over; returns whether they are."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for worker in self._workers:
            worker.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return all(run.over for run in self.runs)


class _Worker(threading.Thread):
    """A thread that owns some runs."""

    def __init__(self, runs: list[Run], ended: Callable[[Run], None] | None, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.runs = runs
        self.wake = threading.Event()
        self._ended = ended

    def run(self) -> None:
        for run in self.runs:
            for node in run.graph.order:
                if isinstance(node, Source):
                    node.arrived = self.wake.set
            run.start()
        active = list(self.runs)
        while active:
            # Cleared before the nodes look: what arrives while they do sets it again.
            self.wake.clear()
            progress = False
            for run in tuple(active):
                if run.state is State.RUNNING:
                    progress |= run.advance()
                if run.over:
                    active.remove(run)
                    if self._ended is not None:
                        self._ended(run)
            if active and not progress:
                self.wake.wait(self._pause_s(active))

    def _pause_s(self, active: list[Run]) -> float:
        """Seconds until a node wants to be called, at most `IDLE_S`."""
        wake_ns = min((run.wake_ns for run in active if run.wake_ns is not None), default=None)
        if wake_ns is None:
            return IDLE_S
        return min(IDLE_S, max(0.0, (wake_ns - time.monotonic_ns()) / 1e9))
