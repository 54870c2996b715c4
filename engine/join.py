"""A transform of several streams that come from one source at different rates."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from auricle.engine.marks import Gap, Remark, Skip
from auricle.engine.node import P, Status
from auricle.engine.reader import Reader
from auricle.engine.stream import Stream
from auricle.engine.transform import Transform

EARLY = "early"
"""Reason of a skip: an input has no complete window that ends early enough."""

ENDED = "ended"
"""Reason of a skip: an input has ended before the time of this window."""


class Join(Transform[P]):
    """A node with several inputs that gives one token of every output for each window of one.

    The first input is the clock: outputs follow its windows, and the node ends when it ends. Every
    other input adds to each of these windows its latest one that, by its place in the source, ends
    no later. Streams that are ahead wait for the others, so results do not depend on which is
    computed first.

    A token carries the gaps that any of its windows touches, and state is forgotten where any input
    has a gap. A window of the clock is skipped where a window of any input was skipped, for the
    same reason; while another input has no complete window yet (`early`); and where another input
    has ended before the clock (`ended`).

    A subclass declares the inputs, the clock first, and combines windows. Each input takes one
    stream; an optional one may have none. Inputs other than the clock have a `hop_size` of 1; their
    `frame_size` is the number of their tokens in a window, and their `before` the number of these
    that may lie ahead of the stream's start, where zeros are read.
    """

    def combine(
        self, windows: Mapping[str, NDArray[Any]], outputs: dict[str, NDArray[Any]]
    ) -> None:
        """Turn one window of every connected input into one token of every output.

        Args:
            windows: The `frame_size` tokens of each input by name, shape `(frame_size, *axes)`:
                views that are dead after this call.
            outputs: Room for one token of each output by name, shape `(1, *axes)`.
        """
        raise NotImplementedError

    @functools.cached_property
    def _others(self) -> dict[str, _Beside]:
        """The connected inputs other than the clock, by name."""
        _, *others = self.inputs.values()
        return {port.name: _Beside(port.reader, self.reader) for port in others if port.readers}

    def process(self) -> Status:
        streams = {name: port.stream for name, port in self.outputs.items()}
        for other in self._others.values():
            other.look(streams)
        status = super().process()
        if status is Status.FINISHED:
            for other in self._others.values():
                other.reader.close()
        elif status is Status.NO_ROOM and not self._ready():
            return Status.NO_INPUT
        return status

    def room(self, streams: dict[str, Stream]) -> int:
        return min(super().room(streams), self._ready())

    def _ready(self) -> int:
        """Windows of the clock, complete or not, that need not wait for any other input."""
        until = min((other.until for other in self._others.values()), default=sys.maxsize)
        return max(0, until - self.reader.number)

    def declined(self, count: int) -> tuple[int, str | None]:
        missing = (other.missing(self.reader.number) for other in self._others.values())
        reason = next(filter(None, missing), None)
        return (1, reason) if reason else super().declined(count)

    def _advance(self, reader: Reader, streams: dict[str, Stream], count: int) -> int:
        for _ in range(count):
            skip = None
            for other in self._others.values():
                other.move_to(reader.number)
                if other.reader.gap():
                    self.reset()
                skip = skip or other.skip(reader.number)
            if skip is None:
                super()._advance(reader, streams, 1)
            else:  # it was counted where it was skipped
                if reader.gap():
                    self.reset()
                self.skip(1, skip.reason, streams)
                reader.release()
        # Now, or their writers would wait for room that only the clock's next window makes.
        for other in self._others.values():
            other.move_to(reader.number)
        return count

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        clock = next(iter(self.inputs))
        others = {name: other.reader.view() for name, other in self._others.items()}
        self.combine({clock: windows, **others}, outputs)


class _Beside:
    """An input beside the clock: which of its windows goes with which window of the clock.

    By its nominal place, token `k` of a stream ends `k / rate + length` seconds from the start of
    the source. The last token that ends no later than window `n` of the clock is therefore number
    `floor(first + n * step)`, with exact fractions for `first` and `step`.

    Attributes:
        reader: Reader of the input; its window 0 is the one that ends first.
        until: Number of the first window of the clock that has to wait for more tokens.
    """

    def __init__(self, reader: Reader, clock: Reader) -> None:
        assert reader.hop_size == 1, "the clock says how far an input moves"
        self.reader = reader
        self.until = 0
        self._written = 0
        self._ended = False
        stream, paced = reader.stream, clock.stream
        rate = stream.token_type.rate
        _, end = paced.seconds(paced.start - clock.before + clock.frame_size - 1)
        _, length = stream.seconds(stream.start)
        self._first = (end - length) * rate
        self._step = clock.hop_size * rate / paced.token_type.rate
        self.move_to(0)

    def look(self, streams: dict[str, Stream]) -> None:
        """Look for new tokens, and carry new gaps and remarks over to the tokens of `streams`."""
        stream = self.reader.stream
        # In this order, since the writer, perhaps on another thread, marks tokens, then commits
        # them, then ends the stream.
        self._ended = stream.ended
        self._written = stream.written - stream.start
        for mark in self.reader.new_marks():
            if isinstance(mark, Gap | Remark):
                first = self._reaching(mark.start - stream.start)
                last = self._reaching(mark.stop - stream.start + self.reader.frame_size - 1)
                for output in streams.values():
                    output.mark(mark.moved(output.start + first, output.start + last))
        self.until = sys.maxsize if self._ended else self._reaching(self._written)

    def move_to(self, number: int) -> None:
        """Release the tokens that no window of the clock from `number` on needs."""
        passed = self._window(number) - self.reader.number
        if passed > 0:
            self.reader.release(passed)

    def missing(self, number: int) -> str | None:
        """Why the input has nothing for window `number` of the clock; None if it has."""
        if self._window(number) < 0:
            return EARLY
        return ENDED if self._last(number) >= self._written else None

    def skip(self, number: int) -> Skip | None:
        """The skip touched by the input's window for window `number` of the clock, if any."""
        return self.reader.stretch(1)[1] if self._window(number) == self.reader.number else None

    def _last(self, number: int) -> int:
        """Number, from 0, of the last token for window `number` of the clock; -1 for none."""
        return max(-1, math.floor(self._first + number * self._step))

    def _window(self, number: int) -> int:
        """Number of the input's window for that of the clock; negative if no window matches."""
        return self._last(number) - self.reader.frame_size + 1 + self.reader.before

    def _reaching(self, token: int) -> int:
        """The first window of the clock whose last token is number `token` or later."""
        return max(0, math.ceil((token - self._first) / self._step))
