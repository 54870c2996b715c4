"""The usual kind of node: windows of one stream in, a token of each output for every window."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

from numpy.typing import NDArray

from auricle.engine.marks import Gap, Remark, Skip
from auricle.engine.node import Node, P, Status
from auricle.engine.reader import Reader
from auricle.engine.stream import Stream


class Transform(Node[P]):
    """A node with one input, whose windows each give one token of every output.

    A subclass declares the ports, the input first, and computes. All that travels beside the tokens
    is handled here: marks go to every token whose window they touch, state is forgotten at gaps,
    windows over skipped tokens are skipped, and the end is passed on when everything is done.

    Attributes:
        rung: Rung of the ladder on which windows are computed; stamped on their tokens.
        level: Name of the variant in use, such as a patchout level; stamped on its tokens.
    """

    rest: ClassVar[int] = 0
    """Most tokens that `flush` may add."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.rung = 0
        self.level = ""

    @functools.cached_property
    def reader(self) -> Reader:
        """Reader of the input."""
        return next(iter(self.inputs.values())).reader

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> str | None:
        """Turn `count` windows into tokens.

        Args:
            windows: Tokens of the windows, which overlap where the hop is shorter than the frame,
                shape `(frame_size + (count - 1) * hop_size, *axes)`; dead after this call.
            outputs: Room for the tokens of each port by name, shape `(count, *axes)`.

        Returns:
            The reason to skip the tokens after all, if they turned out to be unusable.
        """
        raise NotImplementedError

    def flush(self, rest: NDArray[Any], write: dict[str, Stream]) -> None:
        """Write the tokens that the end of the stream completes, at most `rest` to each output.

        Args:
            rest: Tokens of the input from the next window's beginning to the end, shape
                `(tokens, *axes)`.
            write: Streams to write to, by port.
        """

    def declined(self, count: int) -> tuple[int, str | None]:
        """Decide whether to leave out the next windows.

        Args:
            count: Number of windows that could be computed now, each of `frame_size` tokens.

        Returns:
            The number of windows to take, and the reason if they are to be skipped.
        """
        return count, None

    def anticipate(self) -> bool:
        """Compute ahead what the tokens there are allow of the next window, which is incomplete.

        Returns:
            Whether there was anything to do.
        """
        return False

    def room(self, streams: dict[str, Stream]) -> int:
        """Number of windows that may be begun now, by the room for their tokens in the outputs."""
        return min(stream.room() for stream in streams.values())

    def process(self) -> Status:
        reader = self.reader
        # In this order, since the writer, perhaps on another thread, marks tokens, then commits
        # them, then ends the stream.
        ended = reader.stream.ended
        available = reader.windows()
        if not (available or ended) and reader.marks_seen == reader.stream.marked:
            # Most calls, with hundreds of streams.
            return Status.OK if self.anticipate() else Status.NO_INPUT
        streams = {name: port.stream for name, port in self.outputs.items()}
        if reader.marks_seen != reader.stream.marked:
            self._carry_marks(reader, streams)
        room = self.room(streams)
        if available and room:
            taken = self._advance(reader, streams, min(available, room))
            return Status.CAUGHT_UP if taken == available and not ended else Status.OK
        if ended and not available:
            return self._finish(reader, streams, room)
        return Status.NO_ROOM if available else Status.NO_INPUT

    def _carry_marks(self, reader: Reader, streams: dict[str, Stream]) -> None:
        """Mark the tokens of every output whose windows touch new gaps or remarks of the input."""
        for mark in reader.new_marks():
            if isinstance(mark, Gap | Remark):
                first, last = reader.touching(mark)
                for stream in streams.values():
                    stream.mark(mark.moved(stream.start + first, stream.start + last))

    def _finish(self, reader: Reader, streams: dict[str, Stream], room: int) -> Status:
        """End the outputs, once nothing is under way and there is room for the last tokens."""
        if self.under_way:
            return Status.NO_INPUT
        if room < self.rest:
            return Status.NO_ROOM
        self.flush(reader.rest(), streams)
        for stream in streams.values():
            stream.end()
        return Status.FINISHED

    def _advance(self, reader: Reader, streams: dict[str, Stream], count: int) -> int:
        """Compute or skip up to `count` windows; returns how many."""
        if reader.gap():
            self.reset()
        count, skip = reader.stretch(count)
        reason = skip.reason if skip else None
        if reason is None:
            count, reason = self.declined(count)
            if reason:
                self.counts[reason] += count
        if reason is None:
            self.serve(count, streams)
        else:
            self.skip(count, reason, streams)
        reader.release(count)
        return count

    def serve(self, count: int, streams: dict[str, Stream]) -> None:
        """Turn the next `count` windows into tokens."""
        reason = self.compute(
            self.reader.view(count),
            {name: stream.reserve(count) for name, stream in streams.items()},
        )
        if reason is not None:
            self.counts[reason] += count
            mark_skipped(streams, count, reason)
        for stream in streams.values():
            stream.commit(count, self.began_ns, self.rung, level=self.level)

    def skip(self, count: int, reason: str, streams: dict[str, Stream]) -> None:
        """Leave out the next `count` tokens, for a reason of the wire such as `overload`."""
        mark_skipped(streams, count, reason)
        for stream in streams.values():
            stream.commit(count, self.began_ns, self.rung, level=self.level)


def mark_skipped(streams: dict[str, Stream], count: int, reason: str) -> None:
    """Mark the next `count` tokens of each stream as skipped; they are still to be committed."""
    for stream in streams.values():
        start, stop = stream.written, stream.written + count
        source = (stream.span(start)[0], stream.span(stop - 1)[1])
        stream.mark(Skip(start, stop, reason, source))
