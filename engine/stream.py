"""Streams: one writer, any number of readers, tokens of one type at one rate.

Indices are absolute Python integers and never wrap. The writer may be on another thread than the
readers; tokens become visible when `written` moves, after they are in place. A full stream refuses
tokens: whether to wait then, or to drop and mark, is the writer's decision.
"""

from __future__ import annotations

import functools
import threading
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from auricle.engine.clock import SourceClock
from auricle.engine.marks import Mark
from auricle.engine.ring import Ring

LOG_LENGTH = 512
"""Number of commits whose times a stream remembers: ten seconds of blocks of 20 ms."""

FIELDS = 5
"""Number of int64 values remembered of each commit."""


class Commit(NamedTuple):
    """When and how tokens were made.

    Attributes:
        began_ns: Monotonic time at which work on them began.
        done_ns: Monotonic time at which they were done.
        rung: Rung of the ladder on which they were computed.
        level: Name of the variant that computed them; empty where there is only one.
    """

    began_ns: int
    done_ns: int
    rung: int
    level: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """A named axis of a token, such as 96 mel bands."""

    name: str
    size: int

    def __str__(self) -> str:
        return f"{self.size} {self.name}"


@dataclass(frozen=True, slots=True)
class Origin:
    """What tokens come from that mean nothing without it, such as the model that made embeddings.

    Attributes:
        name: Name of the file for messages; a file that was renamed is the same origin.
        sha256: Hash of the file, in hexadecimal digits.
    """

    name: str = field(compare=False)
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} ({self.sha256[:12]})"


@dataclass(frozen=True, slots=True)
class TokenType:
    """What a stream carries.

    Attributes:
        dtype: NumPy type of the values, or Python class of the objects.
        axes: Named axes of one token; `()` for a sample or an object.
        rate: Tokens a second.
        origin: Origin of the tokens, where an input may insist on it; None if unknown.
        labels: Labels of the values of a token, where they are fixed; None if they are not.
    """

    dtype: np.dtype[Any] | type
    axes: tuple[Axis, ...]
    rate: Fraction
    origin: Origin | None = None
    labels: tuple[str, ...] | None = None

    def __str__(self) -> str:
        kind = self.dtype.name if isinstance(self.dtype, np.dtype) else self.dtype.__name__
        axes = " x ".join(map(str, self.axes))
        return (
            f"{kind} {axes} at {format_rate(self.rate)}"
            if axes
            else f"{kind} at {format_rate(self.rate)}"
        )


def format_rate(rate: Fraction) -> str:
    """A rate in Hz for messages: `16000 Hz`, `62.5 Hz`, `0.672 Hz`."""
    return f"{float(rate):.6g} Hz"


@dataclass(frozen=True, slots=True)
class Lineage:
    """How the tokens of a stream come from those of the stream before it.

    Token `k`, counted from the start of its stream, is computed from `size` tokens of `upstream`
    that begin at its token `k * hop_size`. Tokens of history before that (half of the first
    analysis window, say) are not counted: they are heard, but do not move the token's place.

    Attributes:
        upstream: Stream before this one.
        hop_size: Tokens of `upstream` from one token of this stream to the next.
        size: Tokens of `upstream` that one token of this stream covers.
    """

    upstream: Stream
    hop_size: int
    size: int


class Place(Protocol):
    """What a stream knows of a reader: how far it has come."""

    position: int
    """Index of the oldest token that it still needs."""

    marks_seen: int
    """Number of marks that it has noted."""


class Stream:
    """A ring with one writer, its readers, its marks and the times of its commits.

    One thread writes and one reads, which may be another; every further thread may read `written`
    and `ended`. A writer calls `mark`, then `commit`, then at last `end`; so a reader looks in
    the opposite order: `ended` first, then `written`, then the marks.

    Args:
        name: Name for messages, `node.port`.
        token_type: Type and rate of its tokens.
        capacity: Tokens that it holds; at least the longest window of a reader.
        clock: Clock of the source that everything comes from.
        lineage: Lineage of its tokens, from those of another stream; None at the source.
        start: Index of the first token; other than 0 in tests only.
        stage: Word under which the time to make its tokens is reported.

    Attributes:
        written: Index of the next token to be written; all before it are in place.
        ended: Whether no token will follow.
        marked: Number of marks added so far.
        readers: Readers, of which the slowest decides how much room there is.
    """

    def __init__(
        self,
        name: str,
        token_type: TokenType,
        capacity: int,
        clock: SourceClock,
        lineage: Lineage | None = None,
        start: int = 0,
        stage: str = "",
    ) -> None:
        self.name = name
        self.stage = stage
        self.token_type = token_type
        self.clock = clock
        self.lineage = lineage
        self.start = start
        # Written by the writer's thread alone; stored after the tokens and their log entry.
        self.written = start
        self.ended = False
        # Filled before the graph runs. The reader's thread replaces the list to take a reader out,
        # since the writer's iterates over it.
        self.readers: list[Place] = []
        dtype = token_type.dtype if isinstance(token_type.dtype, np.dtype) else np.dtype(object)
        self.ring = Ring(capacity, tuple(axis.size for axis in token_type.axes), dtype)
        # Written by the writer's thread, under the lock. `marked` is read without it, to see
        # whether there are new marks at all.
        self.marked = 0
        self._marks: list[Mark] = []
        self._mark_lock = threading.Lock()
        # For every commit, `written` after it and the fields of `Commit`, the level by its number.
        # Written by the writer's thread; others read entries that it is not about to replace. All
        # memory is allocated up front, so that an engine with hundreds of streams does not grow for
        # minutes.
        self._log = array("q", bytes(LOG_LENGTH * FIELDS * 8))
        self._levels = [""]
        self._logged = 0

    # -- writing -----------------------------------------------------------------------------------

    def room(self) -> int:
        """Number of tokens that can be written now. On the writer's thread."""
        oldest = written = self.written
        for reader in self.readers:
            if reader.position < oldest:
                oldest = reader.position
        return max(0, self.ring.capacity - (written - oldest))  # 0 once released

    def reserve(self, count: int) -> NDArray[Any]:
        """View to write the next tokens into; `commit` makes them visible.

        Args:
            count: Number of tokens, at most `room()`.

        Returns:
            Shape `(count, *axes)`; it holds old tokens until it is written.
        """
        return self.ring.window(self.written, count)

    def commit(
        self,
        count: int,
        began_ns: int | None = None,
        rung: int = 0,
        done_ns: int | None = None,
        level: str = "",
    ) -> None:
        """Publish `count` tokens written to `reserve(count)`.

        Args:
            count: Number of tokens.
            began_ns: Monotonic time at which work on them began; now, if left out.
            rung: Rung of the ladder on which they were computed.
            done_ns: Monotonic time at which they were ready; now, if left out.
            level: Name of the variant that computed them.
        """
        if began_ns is None or done_ns is None:
            now = time.monotonic_ns()
            began_ns = now if began_ns is None else began_ns
            done_ns = now if done_ns is None else done_ns
        self.ring.mirror(self.written, count)
        written = self.written + count
        log, at = self._log, self._logged % LOG_LENGTH * FIELDS
        log[at] = written
        log[at + 1] = began_ns
        log[at + 2] = done_ns
        log[at + 3] = rung
        if level not in self._levels:
            self._levels.append(level)
        log[at + 4] = self._levels.index(level)
        self._logged += 1
        self.written = written

    def write(
        self, tokens: NDArray[Any], began_ns: int | None = None, done_ns: int | None = None
    ) -> int:
        """Write and commit as many tokens as there is room for.

        Args:
            tokens: Tokens, shape `(tokens, *axes)`.
            began_ns: Monotonic time at which work on them began; now, if left out.
            done_ns: Monotonic time at which they were ready; now, if left out.

        Returns:
            The number of tokens written.
        """
        count = min(len(tokens), self.room())
        if count:
            self.reserve(count)[:] = tokens[:count]
            self.commit(count, began_ns, done_ns=done_ns)
        return count

    def mark(self, mark: Mark) -> None:
        """Add a mark, before the tokens that it concerns are committed."""
        with self._mark_lock:
            self._marks.append(mark)
            self.marked += 1
            unseen = self.marked - min(
                (reader.marks_seen for reader in self.readers), default=self.marked
            )
            del self._marks[: len(self._marks) - unseen]

    def marks_since(self, seen: int) -> list[Mark]:
        """Marks from number `seen` on, oldest first."""
        with self._mark_lock:
            return self._marks[len(self._marks) - (self.marked - seen) :]

    def end(self) -> None:
        """Declare that no token will follow."""
        self.ended = True

    def release(self) -> None:
        """Free the memory of the tokens; counts stay. To be called when nobody reads or writes.

        Graphs are cycles of objects, few and large: the garbage collector may not visit them for a
        long time.
        """
        self.ring = Ring(1, (), np.dtype(np.int8))

    # -- time --------------------------------------------------------------------------------------

    def committed(self, token: int) -> Commit:
        """When and how `token` was made; of a token older than the log, what the oldest entry says.

        Callable from any thread.
        """
        log, logged = self._log, self._logged
        found = (logged - 1) % LOG_LENGTH * FIELDS
        # All entries but the oldest, which the writer may be replacing.
        for number in range(logged - 1, max(logged - LOG_LENGTH, -1), -1):
            at = number % LOG_LENGTH * FIELDS
            if log[at] <= token:
                break
            found = at
        return Commit(log[found + 1], log[found + 2], log[found + 3], self._levels[log[found + 4]])

    def ancestry(self, token: int) -> Iterator[tuple[Stream, int]]:
        """This stream and those before it, each with its last token that `token` needs."""
        stream = self
        while True:
            yield stream, token
            lineage = stream.lineage
            if lineage is None:
                return
            upstream = lineage.upstream
            token = upstream.start + (token - stream.start) * lineage.hop_size + lineage.size - 1
            stream = upstream

    @functools.cached_property
    def source(self) -> Stream:
        """The first stream of its ancestry, that of the source node."""
        return self if self.lineage is None else self.lineage.upstream.source

    def heard_ns(self, token: int) -> int:
        """Monotonic time, ns, at which the last sample that `token` needs was in the engine."""
        *_, (source, sample) = self.ancestry(token)
        return source.committed(sample).done_ns

    def seconds(self, token: int) -> tuple[Fraction, Fraction]:
        """Start and end of `token` in seconds of the stream, which lack what the clock left out."""
        rate, length = self._nominal
        start = (token - self.start) / rate
        return start, start + length

    def span(self, token: int) -> tuple[int, int]:
        """First sample of the source that `token` covers, and the one after the last."""
        start, end = self.seconds(token)
        return self.clock.sample_at(start), self.clock.sample_at(end, end=True)

    @functools.cached_property
    def _nominal(self) -> tuple[Fraction, Fraction]:
        """Rate of the tokens in Hz, and seconds that each covers."""
        if self.lineage is None:
            return self.token_type.rate, 1 / self.token_type.rate
        _, length = self.lineage.upstream._nominal
        return self.token_type.rate, (
            self.lineage.size - 1
        ) / self.lineage.upstream.token_type.rate + length
