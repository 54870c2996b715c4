"""Reading a stream in windows, with the marks that lie between the tokens."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any

from numpy.typing import NDArray

from auricle.engine.marks import Gap, Mark, Remark, Skip
from auricle.engine.stream import Stream


class Reader:
    """One consumer's place in a stream, in windows.

    Window number `n` covers the `frame_size` tokens from `stream.start - before + n * hop_size` on.
    The writer waits for the slowest reader, so a reader that is not moved on stops it. A view is
    dead after `release`, since the writer may overwrite it: copy what is to be kept.

    The consumer's loop, which `Transform` and `Sink` follow::

        while ready := reader.windows():
            reader.new_marks()            # after the count: the writer marks before it commits
            gap = reader.gap()            # forget what was heard, if there is one here
            count, skip = reader.stretch(ready)
            if skip is None:
                use(reader.view(count))
            reader.release(count)

    One thread at a time uses a reader, the consumer's. The writer, perhaps on another thread, reads
    `position` and `marks_seen` only. Both only grow, so a value that is out of date makes the
    writer see less room, or keep marks for longer, than it needs to.

    Args:
        stream: Stream to read, from its start; nothing may have been written to it yet.
        frame_size: Tokens of a window.
        hop_size: Tokens from one window to the next.
        before: Tokens by which the first window begins ahead of the stream's start; zeros are read
            there.

    Attributes:
        number: Number of the next window, from 0.
        position: Index of the first token of the next window.
        gaps: Gaps noted and not yet passed, oldest first.
        remarks: Remarks noted and not yet passed, oldest first.
        marks_seen: Number of marks noted.
    """

    def __init__(
        self, stream: Stream, frame_size: int = 1, hop_size: int = 1, before: int = 0
    ) -> None:
        self.stream = stream
        self.frame_size = frame_size
        self.hop_size = hop_size
        self.before = before
        self.position = stream.start - before
        self.number = 0
        self.marks_seen = stream.marked
        self.gaps: deque[Gap] = deque()
        self.remarks: deque[Remark] = deque()
        self._gaps_ahead: deque[tuple[int, Gap]] = deque()
        self._skips: deque[tuple[int, int, Skip]] = deque()
        stream.readers.append(self)

    def close(self) -> None:
        """Stop reading: the writer no longer waits for this reader. May be called twice."""
        # A new list, since the writer may be iterating over the old one.
        self.stream.readers = [each for each in self.stream.readers if each is not self]

    def windows(self) -> int:
        """Number of windows whose `frame_size` tokens are all there to be read now."""
        return max(0, (self.stream.written - self.position - self.frame_size) // self.hop_size + 1)

    def view(self, windows: int = 1) -> NDArray[Any]:
        """View of the tokens of the next windows, which overlap if the hop is shorter.

        Args:
            windows: Number of windows.

        Returns:
            Shape `(frame_size + (windows - 1) * hop_size, *axes)`; dead after `release`.
        """
        return self.stream.ring.window(
            self.position, self.frame_size + (windows - 1) * self.hop_size
        )

    def rest(self) -> NDArray[Any]:
        """View of all tokens from the next window's beginning on, shape `(tokens, *axes)`."""
        return self.stream.ring.window(self.position, max(0, self.stream.written - self.position))

    def release(self, windows: int = 1) -> None:
        """Move on by `windows` windows; the writer may overwrite the tokens before the new one."""
        self.number += windows
        self.position += windows * self.hop_size
        while self.gaps and self.gaps[0].stop <= self.position:
            self.gaps.popleft()
        while self.remarks and self.remarks[0].stop <= self.position:
            self.remarks.popleft()

    def new_marks(self) -> list[Mark]:
        """Note the marks added since the last call, and return them, oldest first."""
        if self.marks_seen == self.stream.marked:
            return []
        marks = self.stream.marks_since(self.marks_seen)
        self.marks_seen += len(marks)
        for mark in marks:
            first, last = self.touching(mark)
            if isinstance(mark, Gap):
                self.gaps.append(mark)
                self._gaps_ahead.append((first, mark))
            elif isinstance(mark, Skip):
                self._skips.append((first, last, mark))
            elif isinstance(mark, Remark):
                self.remarks.append(mark)
        return marks

    def gap(self) -> Gap | None:
        """The gap first touched by the next window, reported once.

        The last one if there are several; None without a gap.
        """
        found = None
        while self._gaps_ahead and self._gaps_ahead[0][0] <= self.number:
            found = self._gaps_ahead.popleft()[1]
        return found

    def stretch(self, count: int) -> tuple[int, Skip | None]:
        """How many of the next windows can be taken together.

        Args:
            count: Number of complete windows, each of `frame_size` tokens.

        Returns:
            The number of windows, up to `count`, before the next gap or change between skipped and
            not skipped, and the skip that all of them touch, if any.
        """
        if self._gaps_ahead:
            count = max(1, min(count, self._gaps_ahead[0][0] - self.number))
        while self._skips and self._skips[0][1] <= self.number:
            self._skips.popleft()
        if self._skips:
            first, last, skip = self._skips[0]
            if first <= self.number:
                return min(count, last - self.number), skip
            count = min(count, first - self.number)
        return count, None

    def gap_reasons(self, start: int, stop: int) -> tuple[str, ...]:
        """Reasons, each once, of the gaps noted that touch tokens `[start, stop)`."""
        return _reasons(self.gaps, start, stop)

    def remark_reasons(self, start: int, stop: int) -> tuple[str, ...]:
        """Reasons, each once, of the remarks noted on tokens `[start, stop)`."""
        return _reasons(self.remarks, start, stop)

    def touching(self, mark: Mark) -> tuple[int, int]:
        """Numbers `(first, last)` of the windows that touch `mark`, `last` exclusive."""
        origin = self.stream.start - self.before
        first = -((origin + self.frame_size - 1 - mark.start) // self.hop_size)
        last = (mark.stop - 1 - origin) // self.hop_size + 1
        return max(0, first), max(0, last)


def _reasons(marks: Collection[Mark], start: int, stop: int) -> tuple[str, ...]:
    """Reasons, each once, of the marks that touch tokens `[start, stop)`."""
    if not marks:
        return ()
    found = (mark.reason for mark in marks if mark.start < stop and start < mark.stop)
    return tuple(dict.fromkeys(found))
