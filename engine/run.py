"""One graph being executed."""

from __future__ import annotations

import enum
import logging
import time
from typing import Any

from auricle.engine.context import OFFLINE, Context, Outage
from auricle.engine.graph import Graph
from auricle.engine.node import Node, Source, Status
from auricle.errors import AuricleError, NodeError, one_line_with_type

log = logging.getLogger(__name__)


class State(enum.Enum):
    """Where a run is in its life."""

    OPENING = "opening"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


class Run:
    """Starts the nodes of a graph, moves tokens through them, and stops them.

    One thread at a time calls `start`, `advance` and `close`, in this order; any thread may call
    `statistics` and `request_stop`. A node that fails ends this run and nothing else.

    Args:
        graph: Graph to run.
        context: Context for the nodes.

    Attributes:
        state: Stage of its life.
        ending: State that the run will have once it is closed, set as soon as nothing else is left
            to do; None before.
        error: Error that stopped the run; None unless `ending` is FAILED.
        outage: What its live source waits for; None while audio flows. Set by whoever made the
            context, on the source's thread.
        spent_ns: Time in `process`, ns by node.
    """

    def __init__(self, graph: Graph, context: Context = OFFLINE) -> None:
        self.graph = graph
        self.context = context
        for node in graph.order:
            node.context = context
        # Written by the thread that runs the graph, read by any. Each is replaced as a whole, and
        # `error` is set before `ending`, so whoever sees FAILED sees why.
        self.state = State.OPENING
        self.ending: State | None = None
        self.error: AuricleError | None = None
        self.outage: Outage | None = None
        self.spent_ns = dict.fromkeys(graph.nodes, 0)  # its keys never change
        self._unfinished: list[Node] = []  # of the thread that runs the graph alone
        self._stopping = False  # set by any thread, never cleared; read before every pass

    @property
    def over(self) -> bool:
        """Whether the run is closed."""
        return self.state in (State.FINISHED, State.FAILED, State.STOPPED)

    @property
    def wake_ns(self) -> int | None:
        """Earliest monotonic time, ns, at which a node wants to be called again; None for never."""
        return min(
            (node.wake_ns for node in self._unfinished if node.wake_ns is not None), default=None
        )

    @property
    def under_way(self) -> bool:
        """Whether a node waits for tokens that other threads work on."""
        return any(node.under_way for node in self._unfinished)

    def start(self) -> None:
        """Open every node, readers before those they read from.

        So nothing is heard before every node can process it. A node that cannot be opened ends the
        run: `ending` and `error` say so.
        """
        self._unfinished = list(self.graph.order)
        for node in reversed(self.graph.order):
            began = time.monotonic()
            try:
                node.start()
            except Exception as error:
                log.debug("%s: %s could not be opened", self.graph.name, node.name, exc_info=True)
                self.fail(error, node)
                return
            spent_s = time.monotonic() - began
            log.debug("%s: %s opened in %.3f s", self.graph.name, node.name, spent_s)
        self.state = State.RUNNING

    def advance(self) -> bool:
        """Call every node once, with the tokens that have come so far.

        Returns:
            Whether calling again right away, before anything arrives, may make progress.
        """
        again = progress = blocked = False
        if self._stopping:
            self.ending = State.STOPPED
            return False
        now = time.monotonic_ns()
        for node in self._unfinished:
            node.began_ns = now
            try:
                status = node.process()
            except Exception as error:
                self.fail(error, node)
                return False
            began, now = now, time.monotonic_ns()
            self.spent_ns[node.name] += now - began
            if status is Status.NO_INPUT:
                continue
            if status is Status.NO_ROOM:
                blocked = True
                continue
            progress = True
            if status is Status.OK:
                again = True
            elif status is Status.FINISHED:
                again = True
                # A new list, since this loop iterates over the old one.
                self._unfinished = [each for each in self._unfinished if each is not node]
        if not self._unfinished:
            self.ending = State.FINISHED
        # Nodes further down may have made the room that one lacked.
        return again or (blocked and progress)

    def request_stop(self) -> None:
        """Make the next `advance` the last. Callable from any thread."""
        self._stopping = True
        for node in self.graph.order:
            if isinstance(node, Source):
                node.interrupt()

    def close(self) -> None:
        """Stop every node, waiting for whatever a node has to wait for. May be called twice."""
        if self.over:
            return
        for node in self.graph.order:
            try:
                node.stop()
            except Exception:  # a node that cannot close must not keep the others open
                log.exception("%s: could not be stopped", node.name)
        for stream in self.graph.streams():
            stream.release()
        self._unfinished = []
        self.state = self.ending = self.ending or State.STOPPED

    def statistics(self) -> dict[str, Any]:
        """State, error, and the counts of each node; for the control socket and the heartbeat.

        Times are in seconds, in the types of JSON. Callable from any thread.
        """
        nodes = {}
        for node in self.graph.order:
            streams = {name: port.stream for name, port in node.outputs.items()}
            nodes[node.name] = {
                "tokens": {name: stream.written - stream.start for name, stream in streams.items()},
                "counts": dict(node.counts),
                "spent_s": self.spent_ns[node.name] / 1e9,
                **node.statistics(),
            }
        error = str(self.error) if self.error else None
        return {"state": (self.ending or self.state).value, "error": error, "nodes": nodes}

    def fail(self, error: Exception, node: Node | None = None) -> None:
        """End the run with an error. On the thread that runs it.

        Args:
            error: Error that ends it.
            node: Node that raised it; None for an error outside of the nodes.
        """
        name = node.name if node else None
        if isinstance(error, AuricleError):
            error.node = error.node or name
            self.error = error
        else:
            self.error = NodeError(one_line_with_type(error), node=name)
            self.error.__cause__ = error
        for each in self.graph.order:
            try:
                each.fail(self.error)
            except Exception:  # the first error is the one to report
                log.exception("%s: could not be notified of the failure", each.name)
        self.ending = State.FAILED
