"""A graph at work, for one stream or many, with its sockets open."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from auricle import __version__
from auricle.engine.overload import Ladder
from auricle.engine.run import Run, State
from auricle.engine.scheduler import LiveScheduler, usable_cores
from auricle.service.control import Control
from auricle.service.graph_file import GraphFile
from auricle.service.restart import policy_of
from auricle.service.streams import Stream, Streams, heard_s
from auricle.service.supervisor import Supervisor
from auricle.service.template import StreamTemplate
from auricle.service.timers import After, Timers
from auricle.wire import messages
from auricle.wire.server import EngineStatus, Server


def _ignore(stream: Stream) -> None:
    """What is done with a change of state where nobody listens."""


class Service:
    """Runs a graph, for one stream or for many, and serves its sockets.

    Streams come and go while it runs; sessions of models are shared between them.

    Args:
        file: The graph file.
        folder: Folder that paths in it are relative to.
        changed: Called whenever a stream comes into another state, on the thread that brought it
            there; it must not wait.
        after: Calls a function later, for streams that are started again; a thread of the
            service's own, if left out.
        ladder: Decides what streams leave out when there is not enough time; one of the service's
            own, if left out.

    Attributes:
        server: Its sockets.
        streams: Its streams.
        control: What its control socket answers.

    Raises:
        ConfigError: A graph that cannot be built.
        ModelError: A model that is not there or damaged.

    Example:
        >>> file = load_graph("graphs/demo.yaml")                   # doctest: +SKIP
        >>> with Service(file, Path("graphs")) as service:          # doctest: +SKIP
        ...     service.wait()
    """

    def __init__(
        self,
        file: GraphFile,
        folder: Path,
        changed: Callable[[Stream], None] = _ignore,
        after: After | None = None,
        ladder: Ladder | None = None,
    ) -> None:
        self._listener = changed
        self._started = False
        self._timers = Timers()
        self.server = Server(file.wire, __version__)
        self.server.status = self._status
        self._scheduler = LiveScheduler(
            workers=file.workers or (1 if file.streams is None else usable_cores()),
            ended=self._note,
            opened=self._note,
            outlet=self.server,
            ladder=ladder,
        )
        template = StreamTemplate(file, folder)
        self.streams = Streams(
            template, self._scheduler, changed=self._report, forgotten=self.server.forget
        )
        self._supervisor = Supervisor(
            self.streams, policy_of(file.restart), after or self._timers.after
        )
        self.control = Control(template, self.streams, self.server)
        for spec in template.specs:
            self.streams.add(spec)

    @property
    def ladder(self) -> Ladder:
        """What the streams leave out, or do more cheaply, when there is not enough time."""
        return self._scheduler.ladder

    @property
    def workers(self) -> int:
        """Number of threads that run the streams."""
        return self._scheduler.workers

    @property
    def runs(self) -> list[Run]:
        """The present run of every stream."""
        return [stream.run for stream in self.streams.all]

    @property
    def opening(self) -> bool:
        """Whether any stream is still loading its models and warming them up."""
        return any(stream.state == State.OPENING.value for stream in self.streams.all)

    @property
    def heard(self) -> bool:
        """Whether any source has given anything yet."""
        return any(heard_s(run) for run in self.runs)

    def start(self) -> None:
        """Open the sockets, then the streams.

        Raises:
            WireError: An address that cannot be bound.
        """
        self.server.start()
        self.start_streams()

    def start_streams(self) -> None:
        """Open the streams only, where the sockets are open already."""
        with self.streams.lock:
            self._started = True
            for stream in self.streams.all:
                self._publish_state(stream)
        self._scheduler.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for all streams to end; returns whether they have.

        While there are none, or one is to be started again, more is to come.
        """
        return self.streams.wait(timeout_s)

    def stop(self) -> None:
        """Stop all streams, send what is left, close the sockets."""
        self.streams.stop()  # none is started again from here on
        self._timers.close()
        self._scheduler.close()
        self.server.stop()

    def add_stream(self, stream: str, input: str, values: Mapping[str, Any] | None = None) -> str:
        """As `Control.add_stream`; from any thread."""
        return self.control.add_stream(stream, input, dict(values or {}))

    def remove_stream(self, stream: str) -> str:
        """As `Control.remove_stream`; from any thread."""
        return self.control.remove_stream(stream)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _note(self, run: Run) -> None:
        self._supervisor.note(run)

    def _report(self, stream: Stream) -> None:
        """Report a stream that has come into another state. Under the lock of the streams."""
        if self._started:
            self._publish_state(stream)
        self._listener(stream)

    def _publish_state(self, stream: Stream) -> None:
        self.server.send(
            messages.State(
                stream=stream.name,
                state=stream.state,
                since=stream.since,
                error=str(stream.error) if stream.error else None,
                retry_at=stream.retry.at if stream.retry else None,
            )
        )

    def _status(self) -> EngineStatus:
        """What every heartbeat says. On the thread that sends; it takes no lock of the streams."""
        # While no stream has anything to serve, nobody else looks whether there is room for more.
        self.ladder.look(time.monotonic())
        counts = Counter(stream.state for stream in self.streams.all)
        return EngineStatus(self.ladder.rung, dict(counts))
