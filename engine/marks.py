"""What travels beside the tokens of a stream, above all places where something is missing.

A *gap* is audio that was never heard. The source writes silence of the same length, so that every
time stays true (or has the clock leave out most of a long one), and marks it; each node carries
the mark on to the tokens whose window touches it. Nodes with state beyond their window forget it
there. A *skip* is a window that was not computed: its token has an index but no value. A *remark*
says something of tokens at which nothing is missing, and is carried on as a gap is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a stream.

    Attributes:
        start: Index of the first token concerned.
        stop: Index of the token after the last one.
        reason: One of the words of `docs/wire.md`, such as `xrun` or `overload`.
        source: The same place in samples of the source, `(start, stop)`.
    """

    start: int
    stop: int
    reason: str
    source: tuple[int, int]

    def moved(self, start: int, stop: int) -> Self:
        """The same mark at tokens `[start, stop)` of a stream further down."""
        return replace(self, start=start, stop=stop)


class Gap(Mark):
    """Tokens whose window touches audio that was never heard."""

    __slots__ = ()


class Remark(Mark):
    """Tokens of which something is to be known, such as that they are of silence."""

    __slots__ = ()


class Skip(Mark):
    """Tokens that were not computed, and hold no value."""

    __slots__ = ()
