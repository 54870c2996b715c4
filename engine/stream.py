"""Streams: one writer, any number of readers, tokens of one type at one rate.

Indices are absolute Python integers and never wrap. The writer may be on another thread than the
readers; tokens become visible when `written` moves, after they are in place. A full stream refuses
tokens: what to do then (wait, or drop and mark) is the writer's decision.
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
"""Commits whose times a stream remembers; at 20 ms a block, ten seconds."""

FIELDS = 5
"""Numbers that are remembered of each."""


class Commit(NamedTuple):
    """When and how tokens were made.

    Attributes:
        began_ns: Monotonic time at which work on them began.
        done_ns: Monotonic time at which they were there.
        rung: How far computing them was cut back.
        level: In which of several ways they were made, for people; empty where there is one.
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
        name: For people; a file that was renamed is the same.
        sha256: Of the file.
    """

    name: str = field(compare=False)
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} ({self.sha256[:12]})"


@dataclass(frozen=True, slots=True)
class TokenType:
    """What a stream carries.

    Attributes:
        dtype: A NumPy type, or the Python class of the objects.
        axes: Named axes of one token; none for a sample or an object.
        rate: Tokens a second.
        origin: What they come from, where a reader may insist on it and it is known.
        labels: What the values of a token stand for, where that is fixed; None if it is not.
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
    """A rate for people: `16000 Hz`, `62.5 Hz`, `0.672 Hz`."""
    return f"{float(rate):.6g} Hz"


@dataclass(frozen=True, slots=True)
class Lineage:
    """How the tokens of a stream come from those of the stream before it.

    Token `k`, counted from the start of its stream, is computed from `size` tokens of `upstream`
    that begin at its token `k * hop`. Tokens of history before that (half of the first analysis
    window, say) are left out: they are heard, but no token's place is given by them.
    """

    upstream: Stream
    hop: int
    size: int


class Place(Protocol):
    """What a stream knows of a reader: how far it is."""

    position: int
    """Index of the oldest token that it still needs."""

    marks_seen: int
    """Number of marks that it has taken note of."""


class Stream:
    """A ring with one writer, its readers, its marks and the times of its commits.

    Args:
        name: `node.port`, for messages.
        token_type: What it carries.
        capacity: Tokens it holds; at least the longest window of a reader.
        clock: Of the source everything comes from.
        lineage: Where its tokens come from; None at the source.
        start: Index of the first token. Zero but in tests.
        stage: Word under which the time to make its tokens is reported.
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
        self.written = start
        self.ended = False
        self.readers: list[Place] = []
        self.marked = 0
        dtype = token_type.dtype if isinstance(token_type.dtype, np.dtype) else np.dtype(object)
        self.ring = Ring(capacity, tuple(axis.size for axis in token_type.axes), dtype)
        self._marks: list[Mark] = []
        self._mark_lock = threading.Lock()
        # Of every commit `written` after it, and the fields of `Commit`, the level by its number.
        # All of its memory is taken at once, so that an engine with hundreds of streams does not
        # grow for minutes.
        self._log = array("q", bytes(LOG_LENGTH * FIELDS * 8))
        self._levels = [""]
        self._logged = 0

    # -- writing -----------------------------------------------------------------------------------

    def room(self) -> int:
        """Tokens that can be written now."""
        oldest = written = self.written
        for reader in self.readers:
            if reader.position < oldest:
                oldest = reader.position
        return max(0, self.ring.capacity - (written - oldest))  # released: none

    def reserve(self, count: int) -> NDArray[Any]:
        """View to write the next `count` tokens into, `count <= room()`; they count from `commit`
        on.
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
            count: How many.
            began_ns: Monotonic time at which work on them began; now, if left out.
            rung: How far computing them was cut back.
            done_ns: Monotonic time at which they were there to be taken; now, if left out.
            level: In which way they were made.
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
        """Write as many of `tokens` as there is room for, with times as for `commit`; returns how
        many.
        """
        count = min(len(tokens), self.room())
        if count:
            self.reserve(count)[:] = tokens[:count]
            self.commit(count, began_ns, done_ns=done_ns)
        return count

    def mark(self, mark: Mark) -> None:
        """Add a mark. To be called before the tokens it concerns are committed."""
        with self._mark_lock:
            self._marks.append(mark)
            self.marked += 1
            unseen = self.marked - min(
                (reader.marks_seen for reader in self.readers), default=self.marked
            )
            del self._marks[: len(self._marks) - unseen]

    def marks_since(self, seen: int) -> list[Mark]:
        """Marks from number `seen` on."""
        with self._mark_lock:
            return self._marks[len(self._marks) - (self.marked - seen) :]

    def end(self) -> None:
        """Say that no token will follow."""
        self.ended = True

    def release(self) -> None:
        """Let go of the tokens; counts stay. Nobody reads or writes any more.

        Graphs are cycles of objects, few and large: it may be long until the garbage collector
            looks at one.
        """
        self.ring = Ring(1, (), np.dtype(np.int8))

    # -- time --------------------------------------------------------------------------------------

    def committed(self, token: int) -> Commit:
        """When and how `token` was made; that of the oldest one known, if it is older."""
        log, logged = self._log, self._logged
        found = (logged - 1) % LOG_LENGTH * FIELDS
        # All but the oldest one, which the writer may be replacing.
        for number in range(logged - 1, max(logged - LOG_LENGTH, -1), -1):
            at = number % LOG_LENGTH * FIELDS
            if log[at] <= token:
                break
            found = at
        return Commit(log[found + 1], log[found + 2], log[found + 3], self._levels[log[found + 4]])

    def ancestry(self, token: int) -> Iterator[tuple[Stream, int]]:
        """This stream and those before it, each with the last of its tokens that `token` needs."""
        stream = self
        while True:
            yield stream, token
            lineage = stream.lineage
            if lineage is None:
                return
            upstream = lineage.upstream
            token = upstream.start + (token - stream.start) * lineage.hop + lineage.size - 1
            stream = upstream

    @functools.cached_property
    def source(self) -> Stream:
        """The stream that this one comes from by way of all others."""
        return self if self.lineage is None else self.lineage.upstream.source

    def heard_ns(self, token: int) -> int:
        """Monotonic time at which the last sample that `token` needs was in the engine."""
        *_, (source, sample) = self.ancestry(token)
        return source.committed(sample).done_ns

    def seconds(self, token: int) -> tuple[Fraction, Fraction]:
        """Start and end of `token` in seconds from the start of the source."""
        rate, length = self._nominal
        start = (token - self.start) / rate
        return start, start + length

    def span(self, token: int) -> tuple[int, int]:
        """First sample of the source that `token` covers, and the one after the last."""
        start, end = self.seconds(token)
        return self.clock.sample_at(start), self.clock.sample_at(end)

    @functools.cached_property
    def _nominal(self) -> tuple[Fraction, Fraction]:
        """Rate of the tokens and seconds that each covers."""
        if self.lineage is None:
            return self.token_type.rate, 1 / self.token_type.rate
        _, length = self.lineage.upstream._nominal
        return self.token_type.rate, (
            self.lineage.size - 1
        ) / self.lineage.upstream.token_type.rate + length
