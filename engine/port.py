"""Ports: what a node declares that it takes and gives, before anything is connected."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from auricle.engine.reader import Reader
from auricle.engine.stream import Axis, Origin, Stream, TokenType
from auricle.errors import AuricleError


@dataclass
class InputPort:
    """A declared input.

    Attributes:
        name: Name, unique among the node's inputs.
        doc: Description in one sentence.
        dtype: NumPy type or Python class of the tokens; None takes any array.
        axes: Named axes of a token; None takes any.
        rate: Tokens a second; None takes any.
        frame_size: Tokens of a window.
        hop_size: Tokens from one window to the next.
        before: Tokens by which the first window begins ahead of the stream; zeros are read there.
        many: Whether several streams may be connected.
        optional: Whether it may stay unconnected.
        lag_s: Seconds by which its reader may fall behind before the writer has to wait.
        origin: Origin that tokens must have if theirs is known; None takes any.
        remedy: Advice at the end of the error message about tokens that are refused.
        offered: Types of the connected streams; set by the graph.
        readers: Readers of the connected streams; set by the graph.
    """

    name: str
    doc: str
    dtype: np.dtype[Any] | type | None
    axes: tuple[Axis, ...] | None = ()
    rate: Fraction | None = None
    frame_size: int = 1
    hop_size: int = 1
    before: int = 0
    many: bool = False
    optional: bool = False
    lag_s: float = 0.0
    origin: Origin | None = None
    remedy: str = ""
    offered: list[TokenType] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)

    @property
    def reader(self) -> Reader:
        """The reader of a port that is connected to exactly one stream."""
        return self.readers[0]

    def attach(self, stream: Stream) -> None:
        """Connect `stream`: make a reader at its first token."""
        self.readers.append(Reader(stream, self.frame_size, self.hop_size, self.before))

    def refusal(self, offered: TokenType) -> str | None:
        """Why this port cannot take tokens of type `offered`; None if it can."""
        if self.dtype is None:
            if not isinstance(offered.dtype, np.dtype):
                return f"takes arrays, not {offered}"
        elif self.dtype != offered.dtype:
            return f"takes {_dtype_name(self.dtype)}, not {_dtype_name(offered.dtype)}"
        if self.axes is not None and self.axes != offered.axes:
            return f"takes tokens of {_axes_name(self.axes)}, not of {_axes_name(offered.axes)}"
        if self.rate is not None and self.rate != offered.rate:
            return f"takes {float(self.rate):g} Hz, not {float(offered.rate):g} Hz"
        return None


@dataclass
class OutputPort:
    """A declared output.

    Attributes:
        name: Name, unique among the node's outputs.
        doc: Description in one sentence.
        dtype: NumPy type or Python class of the tokens.
        axes: Named axes of a token.
        rate: Tokens a second; for a source, which follows no input.
        follows: Input of whose windows each gives one token; for any other node.
        burst_s: Seconds of tokens that may be written before a reader has to take some.
        origin: Origin of the tokens, where an input may insist on it; None if unknown.
        labels: Labels of the values of a token, where they are fixed; None if they are not.
        connected: Stream that the graph made for this port.
    """

    name: str
    doc: str
    dtype: np.dtype[Any] | type
    axes: tuple[Axis, ...] = ()
    rate: Fraction | None = None
    follows: InputPort | None = None
    burst_s: float = 1.0
    origin: Origin | None = None
    labels: tuple[str, ...] | None = None
    connected: Stream | None = None

    @property
    def stream(self) -> Stream:
        """The stream that the graph made for this port.

        Raises:
            AuricleError: The graph has not been built.
        """
        if self.connected is None:
            raise AuricleError(f"output {self.name!r} is used before its graph is built")
        return self.connected

    @property
    def token_type(self) -> TokenType:
        """Type of the tokens; known once the input that the port follows is connected."""
        rate = self.rate
        if self.follows is not None:
            rate = self.follows.offered[0].rate / self.follows.hop_size
        assert rate is not None
        return TokenType(self.dtype, self.axes, rate, self.origin, self.labels)


def _dtype_name(dtype: np.dtype[Any] | type) -> str:
    return dtype.name if isinstance(dtype, np.dtype) else dtype.__name__


def _axes_name(axes: tuple[Axis, ...]) -> str:
    return " x ".join(map(str, axes)) or "single values"
