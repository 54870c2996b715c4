"""A transform of several streams that come from one source at different rates."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from auricle.engine.marks import Gap, Skip
from auricle.engine.node import P, Status
from auricle.engine.reader import Reader
from auricle.engine.stream import Stream
from auricle.engine.transform import Transform

EARLY = "early"
"""Reason of a skip: an input had given no whole window by then."""

ENDED = "ended"
"""Reason of a skip: an input has ended, and gives no window of that time any more."""


class Join(Transform[P]):
    """A node with several inputs that gives one token of every output for each window of one.

    The first input is the clock: outputs follow its windows, and the node ends when it ends. To
    each of these windows every other input adds its latest one that, by its place in the source,
    ends no later. Streams that are ahead wait for the others, so results do not depend on which is
    computed first.

    Tokens bear the gaps that any of their windows touches, and state is forgotten where any input
    has a gap. A window of the clock is skipped where a window of any input was skipped, for the
    same reason; while another input has given no whole window (`early`); and where another input
    has ended before the clock (`ended`).

    A subclass declares the inputs, the clock first, and combines windows. Each input takes one
    stream, or may have none if it is optional. Inputs other than the clock have a `hop_size` of 1;
    their `frame_size` says how many tokens of them are looked at, and their `before` how many of
    these may lie ahead of the stream's start, where zeros are read.
    """

    def combine(
        self, windows: Mapping[str, NDArray[Any]], outputs: dict[str, NDArray[Any]]
    ) -> None:
        """Turn one window of every connected input into one token of every output.

        Args:
            windows: By input, its `frame_size` tokens, shape `(frame_size, *axes)`; views that are
                dead afterwards.
            outputs: By output, room for one token, shape `(1, *axes)`.
        """
        raise NotImplementedError

    @functools.cached_property
    def _others(self) -> dict[str, _Beside]:
        """The connected inputs but the clock, by name."""
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
        """Windows of the clock, complete or not, for which no other input is waited for."""
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
            else:  # which was counted where it was skipped
                if reader.gap():
                    self.reset()
                self.skip(1, skip.reason, streams)
                reader.release()
        # At once, or their writers would wait for room that only the clock's next window makes.
        for other in self._others.values():
            other.move_to(reader.number)
        return count

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        clock = next(iter(self.inputs))
        others = {name: other.reader.view() for name, other in self._others.items()}
        self.combine({clock: windows, **others}, outputs)


class _Beside:
    """An input beside the clock: which of its windows goes with which window of the clock.

    By their nominal places, token `k` of a stream ends `k / rate + length` seconds from the start
    of the source. The last token that ends no later than window `n` of the clock is therefore
    number `floor(first + n * step)`, with exact fractions for `first` and `step`.

    Attributes:
        reader: Its reader, whose window numbers begin with the one that ends the earliest.
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
        """See what has come, and carry new gaps over to tokens of `streams`."""
        stream = self.reader.stream
        # In this order, since the writer may be at work: it marks, then commits, then ends.
        self._ended = stream.ended
        self._written = stream.written - stream.start
        for mark in self.reader.new_marks():
            if isinstance(mark, Gap):
                first = self._reaching(mark.start - stream.start)
                last = self._reaching(mark.stop - stream.start + self.reader.frame_size - 1)
                for output in streams.values():
                    output.mark(mark.moved(output.start + first, output.start + last))
        self.until = sys.maxsize if self._ended else self._reaching(self._written)

    def move_to(self, number: int) -> None:
        """Let go of what windows of the clock from `number` on do not need."""
        passed = self._window(number) - self.reader.number
        if passed > 0:
            self.reader.release(passed)

    def missing(self, number: int) -> str | None:
        """Why it has nothing for window `number` of the clock; None if it has."""
        if self._window(number) < 0:
            return EARLY
        return ENDED if self._last(number) >= self._written else None

    def skip(self, number: int) -> Skip | None:
        """The skip that its window for window `number` of the clock touches."""
        return self.reader.stretch(1)[1] if self._window(number) == self.reader.number else None

    def _last(self, number: int) -> int:
        """Its last token for window `number` of the clock, counted from its start; -1 for none."""
        return max(-1, math.floor(self._first + number * self._step))

    def _window(self, number: int) -> int:
        """Number of its window for window `number` of the clock; negative if there is none."""
        return self._last(number) - self.reader.frame_size + 1 + self.reader.before

    def _reaching(self, token: int) -> int:
        """The first window of the clock whose last token is `token`, or later."""
        return max(0, math.ceil((token - self._first) / self._step))
