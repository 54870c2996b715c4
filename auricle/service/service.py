"""The service: a graph that runs for one stream or many, with its sockets open."""

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
from auricle.service.descriptors import check_descriptors
from auricle.service.graph_file import GraphFile
from auricle.service.stations import Stations
from auricle.service.streams import Stream, Streams, heard_s
from auricle.service.supervisor import Supervisor
from auricle.service.template import StreamTemplate
from auricle.service.timers import After, Timers
from auricle.wire import messages
from auricle.wire.server import EngineStatus, Server


def _ignore(stream: Stream) -> None:
    """Ignore a change of state: the default of `Service`."""


class Service:
    """Runs a graph, for one stream or for many, and serves its sockets.

    Streams can be added and removed while it runs; they share the sessions of models. Besides the
    caller's thread there are workers and openers (of the scheduler), `wire` and `control` (of the
    server) and `timers`. The state of streams changes under the lock of `streams` only. Whoever
    holds it may take the locks of scheduler, server and timers, and these call back with their own
    locks released, so locks are always taken in this order.

    Args:
        file: Graph file to run.
        folder: Folder that paths in the file are relative to.
        changed: Function to call whenever a stream enters another state, on the thread that caused
            it and with the lock of the streams held; it must not wait.
        after: Function that schedules restarts; by default on a thread of the service's own.
        ladder: Overload ladder, which decides what streams leave out when time runs short; by
            default one of the service's own.

    Attributes:
        server: Sockets of the service.
        streams: Streams of the service.
        stations: Streams that come from files, and the files in which they are kept.
        control: Commands of the control socket.

    Raises:
        ConfigError: The graph cannot be built.

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
        # Under the lock of the streams: before the start, states are not published.
        self._started = False
        self._timers = Timers()
        self.server = Server(file.wire, __version__)
        self.server.status = self._status
        self._scheduler = LiveScheduler(
            workers=file.workers or (1 if file.streams is None else usable_cores()),
            ended=self._note,
            opened=self._note,
            outage=self._note,
            outlet=self.server,
            ladder=ladder,
            admit=check_descriptors,
        )
        template = StreamTemplate(file, folder)
        self.streams = Streams(
            template, self._scheduler, changed=self._report, forgotten=self.server.forget
        )
        self._supervisor = Supervisor(self.streams, after or self._timers.after)
        kept = None if file.keep_added is None else folder / file.keep_added
        self.stations = Stations(template, self.streams, kept)
        self.control = Control(template, self.streams, self.stations, self.server)
        self.stations.add_all()

    @property
    def ladder(self) -> Ladder:
        """The overload ladder: what streams leave out or do more cheaply when time runs short."""
        return self._scheduler.ladder

    @property
    def workers(self) -> int:
        """Number of threads that run the streams."""
        return self._scheduler.workers

    @property
    def runs(self) -> list[Run]:
        """The current run of every stream."""
        return [stream.run for stream in self.streams.all]

    @property
    def opening(self) -> bool:
        """Whether any stream is still loading and warming up its models, which may take minutes."""
        return any(stream.state == State.OPENING.value for stream in self.streams.all)

    @property
    def heard(self) -> bool:
        """Whether any source has delivered samples yet."""
        return any(heard_s(run) for run in self.runs)

    def start(self) -> None:
        """Open the sockets, then the streams.

        Raises:
            WireError: An address cannot be bound.
        """
        self.server.start()
        self.start_streams()

    def start_streams(self) -> None:
        """Open the streams, after `server.start` has opened the sockets."""
        with self.streams.lock:
            self._started = True
            for stream in self.streams.all:
                self._publish_state(stream)
        self._scheduler.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there are streams and all have ended for good.

        A stream that is waiting for its restart has not ended.

        Args:
            timeout_s: Longest wait in seconds; None waits forever.

        Returns:
            Whether they have ended.
        """
        return self.streams.wait(timeout_s)

    def stop(self) -> None:
        """Stop all streams, send the messages that are left, and close the sockets.

        Waits for the nodes of all streams to stop, then for at most a few seconds, those of
        `auricle.wire.settings.ServerSettings`, for a running command.
        """
        self.streams.stop()  # first, so that no stream is started again
        self._timers.close()
        self._scheduler.close()
        self.server.stop()

    def add_stream(self, stream: str, input: str, values: Mapping[str, Any] | None = None) -> str:
        """Add a stream, as `Control.add_stream` does; from any thread."""
        return self.control.add_stream(stream, input, dict(values or {}))

    def remove_stream(self, stream: str) -> str:
        """Remove a stream, as `Control.remove_stream` does; from any thread."""
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
        """Publish the new state of a stream; called with the lock of the streams held."""
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
                retry_at=stream.retry_at,
            )
        )

    def _status(self) -> EngineStatus:
        """The status for a heartbeat; called on the thread that sends.

        Takes no lock of the streams, which may be held for long while a graph is built: the table
        of streams is replaced, never changed, and a state is one attribute.
        """
        # While no stream has work to do, nothing else lets the ladder recover.
        self.ladder.look(time.monotonic())
        counts = Counter(stream.state for stream in self.streams.all)
        return EngineStatus(self.ladder.rung, dict(counts))
