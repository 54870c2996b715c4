"""The streams of a service: adding, removing, stopping and listing them."""

from __future__ import annotations

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
from auricle.service.stream_list import StreamSpec
from auricle.service.template import StreamTemplate
from auricle.service.timers import Cancel

WAITING = "waiting"
"""State of a stream that is to be started again; the others are those of its run."""

OVER = {State.FINISHED.value, State.FAILED.value, State.STOPPED.value}
"""States of streams that nothing more comes from."""

SHOWN_NAMES = 10
"""Names that an error message lists, at most."""


@dataclass(frozen=True)
class Retry:
    """The next try of a stream that is waiting.

    Attributes:
        at: UTC, in seconds.
        cancel: Takes it back.
    """

    at: float
    cancel: Cancel


@dataclass(eq=False)
class Stream:
    """One stream: what it is made from, its present run, and how it is.

    Any thread may read an attribute; they change under the lock of `Streams`.

    Attributes:
        spec: What it is made from; None for the graph with its own source.
        run: Its present run, or the last one.
        state: State that was last reported: the run's, or `waiting`.
        since: UTC at which it came into that state, in seconds.
        error: Why it failed, or why it waits.
        retry: The next try, while it waits.
        tries: Tries since it last ran well.
        wanted: Whether it is to be started again when it ends: nobody has stopped it.
        removed: Whether it is to be forgotten when it ends.
    """

    spec: StreamSpec | None
    run: Run
    state: str = State.OPENING.value
    since: float = 0.0
    error: AuricleError | None = None
    retry: Retry | None = None
    tries: int = 0
    wanted: bool = True
    removed: bool = False

    @property
    def name(self) -> str:
        """Its name, the first part of its topics."""
        return self.run.graph.name

    @property
    def over(self) -> bool:
        """Whether nothing more comes from it."""
        return self.state in OVER

    def summary(self) -> dict[str, Any]:
        """How it is, in a few words, in the types of JSON."""
        counts: Counter[str] = Counter()
        for node in self.run.graph.order:
            counts.update(dict(node.counts))
        source = next(node for node in self.run.graph.order if isinstance(node, Source))
        return {
            "state": self.state,
            "since": self.since,
            "error": str(self.error) if self.error else None,
            "retry_at": self.retry.at if self.retry else None,
            "seconds": heard_s(self.run),
            "counts": dict(counts),
            "drift_ppm": source.clock.drift_ppm,
        }


class Streams:
    """The streams of a service, by name.

    Any thread may call any method. What changes a stream or the template holds `lock`; the table is
    replaced, never changed, so that reading it needs no lock.

    Args:
        template: What the graph of a stream is made from.
        scheduler: What runs the graphs.
        changed: Called, with the lock held, whenever a stream comes into another state.
        forgotten: Called, with the lock held, with the name of a stream that is in no list now.
        utc: UTC in seconds; another clock in tests.

    Attributes:
        lock: Held while a stream or the template changes.
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
        self._table: dict[str, Stream] = {}
        self._condition = threading.Condition(self.lock)

    @property
    def all(self) -> list[Stream]:
        """All streams, in the order in which they were added."""
        return list(self._table.values())

    def choose(self, name: str | None) -> list[Stream]:
        """The stream of this name, or all.

        Raises:
            ConfigError: An unknown name.
        """
        table = self._table
        if name is None:
            return list(table.values())
        if name not in table:
            hint = did_you_mean(name, table)
            raise ConfigError(f"no stream {name!r}{hint}; streams are: {_join_few(list(table))}")
        return [table[name]]

    def add(self, spec: StreamSpec | None) -> Stream:
        """Run the graph for another stream, or again for one that is over.

        Args:
            spec: The stream; None for the graph with its own source.

        Raises:
            ConfigError: A name that is in use, or something that cannot be used.
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
            if before is not None:
                self._scheduler.remove(before.run)
            stream = Stream(spec, self._scheduler.add(graph))
            self._table = {**self._table, stream.name: stream}
            self.report(stream, State.OPENING.value)
        return stream

    def run_again(self, stream: Stream) -> None:
        """Start another run of a stream that is waiting, with what commands have changed of it.

        Raises:
            AuricleError: The graph cannot be built any more, or the service is stopping.
        """
        with self.lock:
            stream.retry = None
            nodes = stream.run.graph.order
            settings = {node.name: node.settings() for node in nodes if node.commands()}
            graph = self._template.build(stream.spec, settings)
            self._scheduler.remove(stream.run)
            stream.run = self._scheduler.add(graph)
            self.report(stream, State.OPENING.value)

    def stop(self, name: str | None = None) -> list[str]:
        """Stop the stream of this name, or all; they stay in the list.

        Returns:
            The names of the streams that this was asked of.

        Raises:
            ConfigError: An unknown name.
        """
        with self.lock:
            chosen = self.choose(name)
            for stream in chosen:
                self._stop(stream)
        return [stream.name for stream in chosen]

    def remove(self, name: str) -> str:
        """Stop the stream of this name, and forget it when it is over; returns its name.

        Raises:
            ConfigError: An unknown name.
        """
        with self.lock:
            (stream,) = self.choose(name)
            stream.removed = True
            self._stop(stream)
            if stream.over:
                self.forget(stream)
        return name

    def find(self, run: Run) -> Stream | None:
        """The stream whose present run this is; None if it has another, or was forgotten."""
        stream = self._table.get(run.graph.name)
        return stream if stream is not None and stream.run is run else None

    def forget(self, stream: Stream) -> None:
        """Take a stream that is over out of the list."""
        with self.lock:
            self._scheduler.remove(stream.run)
            self._table = {name: each for name, each in self._table.items() if each is not stream}
            self._forgotten(stream.name)
            self._condition.notify_all()

    def report(self, stream: Stream, state: str, error: AuricleError | None = None) -> None:
        """Let everybody know that a stream has come into another state."""
        with self.lock:
            stream.state, stream.error, stream.since = state, error, self._utc()
            self._changed(stream)
            self._condition.notify_all()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there are streams and all are over; returns whether that is so."""
        return self.wait_for(self._all_over, timeout_s)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until `condition`, which is about states of streams, holds; returns whether it does.

        Args:
            condition: Looked at again whenever a stream changes its state, comes or goes.
            timeout_s: Longest wait in seconds; None waits for ever.
        """
        with self.lock:
            return self._condition.wait_for(condition, timeout_s)

    def _all_over(self) -> bool:
        return bool(self._table) and all(stream.over for stream in self._table.values())

    def _stop(self, stream: Stream) -> None:
        stream.wanted = False
        if stream.retry is not None:
            stream.retry.cancel()
            stream.retry = None
            self.report(stream, State.STOPPED.value)
        elif not stream.over:
            self._scheduler.stop(stream.name)


def heard_s(run: Run) -> float:
    """Seconds of audio that the source of a run has given."""
    source = next(node for node in run.graph.order if isinstance(node, Source))
    audio = next((port.stream for port in source.outputs.values()), None)
    return float((audio.written - audio.start) / audio.token_type.rate) if audio else 0.0


def list_warnings(run: Run) -> list[str]:
    """What was wrong with the source of a run, a line each, where it was no error."""
    sources = (node for node in run.graph.order if isinstance(node, Source))
    return [text for source in sources for text in source.warnings]


def _join_few(names: list[str]) -> str:
    """Names for an error message; not hundreds."""
    shown = ", ".join(names[:SHOWN_NAMES]) or "none"
    more = len(names) - SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
