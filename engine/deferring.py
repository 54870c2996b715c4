"""A transform whose windows are computed on other threads, several at a time.

It hands windows out without waiting for them, and writes their tokens in the order of the windows
once they are done. A skip in between waits for its turn like everything else.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from auricle.engine.node import P, Status
from auricle.engine.stream import Stream
from auricle.engine.transform import Transform, mark_skipped


class Job(Protocol):
    """A window computed on another thread, which calls the context's `wake` when it is done."""

    @property
    def done(self) -> bool:
        """Whether there is nothing left to wait for. Once true, it stays true."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """Tokens to write once those before them are written: the token of a job, or skipped ones."""

    count: int
    job: Job | None
    reason: str | None
    began_ns: int
    rung: int
    level: str


class Deferring(Transform[P]):
    """A transform that computes its windows itself, or hands them to other threads.

    Only the thread that runs the stream touches its fields. All that a job's thread does is set
    the job's `done` and then call `wake`.

    Attributes:
        places: Most windows that are handed out at a time; 0 if it computes them itself. Set by
            `start`.
    """

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.places = 0
        self._turns: deque[_Turn] = deque()

    def hand_out(self, window: NDArray[Any]) -> Job:
        """Have the next window computed on another thread.

        Args:
            window: The `frame_size` tokens of the window, shape `(frame_size, *axes)`: a view that
                is dead after this call, so what is needed later is copied.
        """
        raise NotImplementedError

    def accept(self, job: Job, outputs: dict[str, NDArray[Any]]) -> str | None:
        """Turn a job that is done into a token.

        Args:
            job: A job that `hand_out` returned.
            outputs: Room for one token by port, each of shape `(1, *axes)`.

        Returns:
            The reason to skip the token, if the window was not computed; None if it was.

        Raises:
            AuricleError: The job failed.
        """
        raise NotImplementedError

    def room(self, streams: dict[str, Stream]) -> int:
        room = super().room(streams)
        return min(room, self.places) - self.under_way if self.places else room

    def process(self) -> Status:
        if not self.places:
            return super().process()
        written = self._its_turn
        if written:
            self._write(self._turns.popleft())
            if self._its_turn:
                # One a call, so that this token is handed on even if the next job has failed.
                return Status.OK
        status = super().process()
        if written and status is Status.NO_INPUT:
            return Status.CAUGHT_UP
        # Nodes further down may make the room that it lacks by taking what it has written.
        return Status.OK if written and status is Status.NO_ROOM else status

    def serve(self, count: int, streams: dict[str, Stream]) -> None:
        if not self.places:
            super().serve(count, streams)
            return
        reader, windows = self.reader, self.reader.view(count)
        for number in range(count):
            first = number * reader.hop_size
            self._queue(1, self.hand_out(windows[first : first + reader.frame_size]), None)

    def skip(self, count: int, reason: str, streams: dict[str, Stream]) -> None:
        if self._turns:
            self._queue(count, None, reason)
        else:
            super().skip(count, reason, streams)

    def _queue(self, count: int, job: Job | None, reason: str | None) -> None:
        self._turns.append(_Turn(count, job, reason, self.began_ns, self.rung, self.level))
        self.under_way += count

    @property
    def _its_turn(self) -> bool:
        """Whether the next tokens can be written."""
        return bool(self._turns) and ((job := self._turns[0].job) is None or job.done)

    def _write(self, turn: _Turn) -> None:
        streams = {name: port.stream for name, port in self.outputs.items()}
        self.under_way -= turn.count
        reason = turn.reason
        if turn.job is not None:
            reason = self.accept(
                turn.job, {name: stream.reserve(1) for name, stream in streams.items()}
            )
            if reason:
                self.counts[reason] += 1
        if reason:
            mark_skipped(streams, turn.count, reason)
        for stream in streams.values():
            stream.commit(turn.count, turn.began_ns, turn.rung, level=turn.level)

    def stop(self) -> None:
        self._turns.clear()
        self.under_way = 0
