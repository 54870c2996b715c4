"""The streams of a service: adding, removing, stopping and listing them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from auricle.engine.node import Source
from auricle.engine.run import Run, State
from auricle.engine.scheduler import LiveScheduler
from auricle.errors import AuricleError, ConfigError, did_you_mean
from auricle.service.restart import RestartPolicy
from auricle.service.stream_list import StreamSpec
from auricle.service.template import StreamTemplate
from auricle.service.timers import Cancel

log = logging.getLogger(__name__)

WAITING = "waiting"
"""State of a stream that waits for its source or for its restart; all other states are those of its
run."""

OVER = {State.FINISHED.value, State.FAILED.value, State.STOPPED.value}
"""States of streams that have ended for good."""

SHOWN_NAMES = 10
"""Most names that an error message lists."""


@dataclass(eq=False)
class Stream:
    """One stream: its specification, its current run and its state.

    Attributes are written only under `Streams.lock`. Any thread may read one without it, since each
    is replaced as a whole; two that belong together, such as `state` and `error`, need the lock.

    Attributes:
        spec: Specification of the stream; None for the graph with its own source.
        run: Current run, or the last one.
        policy: Policy for starting it again, and the pauses between tries.
        state: State last reported, that of the run or `waiting`.
        since: UTC at which it entered that state, in seconds.
        error: Reason why it failed or is waiting.
        retry_at: UTC of the next try in seconds, while it is waiting; None if it is waited for.
        cancel_retry: Function that cancels the scheduled restart, if there is one.
        tries: Number of tries since it last ran well.
        wanted: Whether it may be started again when it ends; False once it was stopped.
        removed: Whether it is removed from the list when it ends.
        successor: Specification of the stream that takes its place then.
    """

    spec: StreamSpec | None
    run: Run
    policy: RestartPolicy
    state: str = State.OPENING.value
    since: float = 0.0
    error: AuricleError | None = None
    retry_at: float | None = None
    cancel_retry: Cancel | None = None
    tries: int = 0
    wanted: bool = True
    removed: bool = False
    successor: StreamSpec | None = None

    @property
    def name(self) -> str:
        """Name of the stream, the first part of its topics."""
        return self.run.graph.name

    @property
    def over(self) -> bool:
        """Whether it has ended for good."""
        return self.state in OVER

    def summary(self) -> dict[str, Any]:
        """Summarise the stream in the types of JSON.

        Returns:
            `state`, `since` and `retry_at` in UTC seconds, `error`, `seconds` of audio heard,
            `counts` of all its nodes by reason, and `drift_ppm` of the source's clock.
        """
        counts: Counter[str] = Counter()
        for node in self.run.graph.order:
            counts.update(dict(node.counts))
        source = next(node for node in self.run.graph.order if isinstance(node, Source))
        return {
            "state": self.state,
            "since": self.since,
            "error": str(self.error) if self.error else None,
            "retry_at": self.retry_at,
            "seconds": heard_s(self.run),
            "counts": dict(counts),
            "drift_ppm": source.clock.drift_ppm,
        }


class Streams:
    """The streams of a service, by name.

    Any thread may call any method. Whatever changes a stream, the table of streams or the template
    holds `lock`, which is reentrant. Reading the table needs no lock, since it is replaced as a
    whole, never changed.

    Args:
        template: Template that the graphs of streams are built from.
        scheduler: Scheduler that runs the graphs.
        changed: Function to call, with the lock held, when a stream has entered another state.
        forgotten: Function to call, with the lock held, with the name of a stream that was removed.
        utc: Function that returns UTC in seconds; tests pass another clock.

    Attributes:
        lock: Lock that is held while a stream, the table or the template changes.
    """

    def __init__(
        self,
        template: StreamTemplate,
        scheduler: LiveScheduler,
        changed: Callable[[Stream], None],
        forgotten: Callable[[str], None],
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.lock = threading.RLock()
        self._template = template
        self._scheduler = scheduler
        self._changed = changed
        self._forgotten = forgotten
        self._utc = utc
        self._table: dict[str, Stream] = {}  # replaced under the lock, never changed
        self._condition = threading.Condition(self.lock)  # notified at every change of state

    @property
    def all(self) -> list[Stream]:
        """All streams, in the order in which they were added."""
        return list(self._table.values())

    def choose(self, name: str | None) -> list[Stream]:
        """The stream of this name in a list, or all streams for None.

        Raises:
            ConfigError: No stream has this name.
        """
        table = self._table
        if name is None:
            return list(table.values())
        if name not in table:
            hint = did_you_mean(name, table)
            raise ConfigError(f"no stream {name!r}{hint}; streams are: {_join_few(list(table))}")
        return [table[name]]

    def add(self, spec: StreamSpec | None, by_command: bool = False) -> Stream:
        """Run the graph for another stream, or again for one that has ended.

        Args:
            spec: Specification of the stream; None for the graph with its own source.
            by_command: Whether a command asks for it, so that only allowed sources are opened.

        Raises:
            ConfigError: The name is in use, the source is not allowed, or the source or a parameter
                is invalid.
            AuricleError: The service is stopping.
        """
        with self.lock:
            before = self._table.get(spec.name) if spec else None
            if before is not None and before.removed:
                raise ConfigError(
                    f"stream {before.name!r} is still being closed; try again in a moment"
                )
            if before is not None and not before.over:
                raise ConfigError(f"there is a stream {before.name!r} already")
            graph = self._template.build(spec)
            if by_command:
                self._template.check_command(graph)
            if before is not None:
                self._scheduler.remove(before.run)
            policy = self._template.policy(spec)
            stream = Stream(spec, self._scheduler.add(graph, policy.backoff), policy)
            self._table = {**self._table, stream.name: stream}
            self.report(stream, State.OPENING.value)
        return stream

    def run_again(self, stream: Stream) -> None:
        """Start another run of a stream that is waiting, with the settings that commands gave it.

        Raises:
            AuricleError: The graph can no longer be built, or the service is stopping.
        """
        with self.lock:
            stream.cancel_retry = None
            nodes = stream.run.graph.order
            settings = {node.name: node.settings() for node in nodes if node.commands()}
            graph = self._template.build(stream.spec, settings)
            self._scheduler.remove(stream.run)
            stream.run = self._scheduler.add(graph, stream.policy.backoff)
            self.report(stream, State.OPENING.value)

    def stop(self, name: str | None = None) -> list[str]:
        """Ask the stream of this name, or all streams, to stop; they stay in the list.

        Returns:
            The names of the streams that were asked to stop.

        Raises:
            ConfigError: No stream has this name.
        """
        with self.lock:
            chosen = self.choose(name)
            for stream in chosen:
                self._stop(stream)
        return [stream.name for stream in chosen]

    def remove(self, name: str) -> str:
        """Stop the stream of this name, and remove it from the list when it has ended.

        Returns:
            The name.

        Raises:
            ConfigError: No stream has this name.
        """
        with self.lock:
            (stream,) = self.choose(name)
            stream.removed = True
            self._stop(stream)
            if stream.over:
                self.forget(stream)
        return name

    def replace(self, name: str, spec: StreamSpec) -> None:
        """Stop the stream of this name; another takes its place when it has ended.

        Raises:
            ConfigError: No stream has this name, or the source or a parameter of the other one is
                invalid.
        """
        with self.lock:
            self._template.build(spec)
            (stream,) = self.choose(name)
            stream.successor = spec
            self.remove(name)

    def find(self, run: Run) -> Stream | None:
        """The stream whose current run this is; None if it has another run, or was removed."""
        stream = self._table.get(run.graph.name)
        return stream if stream is not None and stream.run is run else None

    def forget(self, stream: Stream) -> None:
        """Remove a stream that has ended from the list."""
        with self.lock:
            self._scheduler.remove(stream.run)
            self._table = {name: each for name, each in self._table.items() if each is not stream}
            self._forgotten(stream.name)
            if stream.successor is not None:
                self._add_successor(stream.successor)
            self._condition.notify_all()

    def _add_successor(self, spec: StreamSpec) -> None:
        try:
            self.add(spec)
        except AuricleError as error:  # the engine is stopping, or a file is gone since
            log.error("stream %s could not be replaced: %s", spec.name, error)

    def report(
        self,
        stream: Stream,
        state: str,
        error: AuricleError | None = None,
        retry_at: float | None = None,
    ) -> None:
        """Set the state of a stream, and notify all that wait or listen.

        Args:
            stream: Stream that has entered another state, or waits for another try.
            state: The new state.
            error: Reason for `failed` or `waiting`.
            retry_at: UTC of the next try, in seconds.
        """
        with self.lock:
            before = (stream.state, str(stream.error), stream.retry_at)
            if stream.since and before == (state, str(error), retry_at):
                return
            if state != stream.state or not stream.since:
                stream.since = self._utc()
            stream.state, stream.error, stream.retry_at = state, error, retry_at
            self._changed(stream)
            self._condition.notify_all()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there are streams and all have ended for good.

        Args:
            timeout_s: Longest wait in seconds; None waits forever.

        Returns:
            Whether they have.
        """
        return self.wait_for(self._all_over, timeout_s)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until a condition about the states of streams holds.

        Args:
            condition: Function to call, with the lock held, whenever a stream changes its state, is
                added or is removed.
            timeout_s: Longest wait in seconds; None waits forever.

        Returns:
            Whether the condition holds.
        """
        with self.lock:
            return self._condition.wait_for(condition, timeout_s)

    def _all_over(self) -> bool:
        return bool(self._table) and all(stream.over for stream in self._table.values())

    def _stop(self, stream: Stream) -> None:
        stream.wanted = False
        if stream.cancel_retry is not None:
            stream.cancel_retry()
            stream.cancel_retry = None
            self.report(stream, State.STOPPED.value)
        elif not stream.over:
            self._scheduler.stop(stream.name)


def heard_s(run: Run) -> float:
    """Seconds of audio that the source of a run has delivered."""
    source = next(node for node in run.graph.order if isinstance(node, Source))
    audio = next((port.stream for port in source.outputs.values()), None)
    return float((audio.written - audio.start) / audio.token_type.rate) if audio else 0.0


def list_warnings(run: Run) -> list[str]:
    """The warnings of the sources of a run, one line each."""
    sources = (node for node in run.graph.order if isinstance(node, Source))
    return [text for source in sources for text in source.warnings]


def _join_few(names: list[str]) -> str:
    """The first names of a list for an error message, and how many more there are."""
    shown = ", ".join(names[:SHOWN_NAMES]) or "none"
    more = len(names) - SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
