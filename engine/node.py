"""Nodes and their ports.

Life of a node: `__init__` checks and stores; the graph connects its ports; `start` opens what it needs;
`process` is called again and again; `stop` closes, and may be called twice.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.clock import SourceClock
from engine.errors import AuricleError, ConfigError
from engine.marks import Gap, Skip
from engine.stream import Axis, Reader, Stream, TokenType


class Status(enum.Enum):
    """What a call of `process` came to."""

    OK = "made progress; calling again may make more"
    NO_INPUT = "waits for input"
    NO_ROOM = "waits for room in an output"
    FINISHED = "its input has ended and everything is handed on"


class NodeParams(BaseModel):
    """Parameters of a node, as in a graph file. Unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass
class InputPort:
    """A declared input.

    Attributes:
        name: Unique within the node's inputs.
        doc: One sentence.
        dtype: NumPy type or Python class of the tokens; None takes any array.
        axes: Named axes of a token; None takes any.
        rate: Tokens a second; None takes any.
        frame_size: Tokens of a window.
        hop_size: Tokens from one window to the next.
        before: Tokens by which the first window begins ahead of the stream; zeros are read there.
        many: Whether several streams may be connected.
        optional: Whether none may be.
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
    offered: list[TokenType] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)

    @property
    def reader(self) -> Reader:
        """The reader of a port that has exactly one stream."""
        return self.readers[0]

    def attach(self, stream: Stream) -> None:
        """Read `stream` from now on."""
        self.readers.append(stream.attach(self.frame_size, self.hop_size, self.before))

    def refusal(self, offered: TokenType) -> str | None:
        """Why this port cannot take `offered`; None if it can."""
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
        name: Unique within the node's outputs.
        doc: One sentence.
        dtype: NumPy type or Python class of the tokens.
        axes: Named axes of a token.
        rate: Tokens a second, of a source.
        follows: The input that gives one token for each of its windows, of any other node.
        burst_s: Seconds that may be written before a reader has to come round.
    """

    name: str
    doc: str
    dtype: np.dtype[Any] | type
    axes: tuple[Axis, ...] = ()
    rate: Fraction | None = None
    follows: InputPort | None = None
    burst_s: float = 1.0
    connected: Stream | None = None

    @property
    def stream(self) -> Stream:
        """The stream that the graph made for this port."""
        if self.connected is None:
            raise AuricleError(f"output {self.name!r} is used before its graph is built")
        return self.connected

    @property
    def token_type(self) -> TokenType:
        """What comes out; known once the input it follows is connected."""
        rate = self.rate
        if self.follows is not None:
            rate = self.follows.offered[0].rate / self.follows.hop_size
        if rate is None:
            raise AuricleError(f"output {self.name!r} has neither a rate nor an input to follow")
        return TokenType(self.dtype, self.axes, rate)


class Node:
    """Something that runs in a graph.

    Args:
        name: Unique within the graph.
        params: Values of the fields of `Params`.

    Raises:
        ConfigError: An unknown or unusable parameter.
    """

    Params: ClassVar[type[NodeParams]] = NodeParams

    stage: ClassVar[str] = ""
    """Word under which its time appears in a prediction's latency; its name, if empty."""

    def __init__(self, name: str, **params: Any) -> None:
        self.name = name
        try:
            self.params: Any = self.Params(**params)
        except ValidationError as error:
            raise ConfigError(describe(error), node=name) from None
        self.inputs: dict[str, InputPort] = {}
        self.outputs: dict[str, OutputPort] = {}
        self.live = False
        """Whether the source keeps its own time, so that falling behind has to be made good. Set by the
        graph for all nodes, from what the source says of itself."""
        self.wake_ns: int | None = None
        """Monotonic time at which `process` should be called again even if nothing arrives."""
        self.began_ns = 0
        """When the current call of `process` began; set by whoever calls it."""
        self.elsewhere_ns: Counter[str] = Counter()
        """Time spent in other people's code, by what it was: decoding, inference."""
        self.counts: Counter[str] = Counter()
        """What was lost or left out, by reason."""

    def add_input(self, port: InputPort) -> InputPort:
        """Declare an input. For `__init__`."""
        self.inputs[port.name] = port
        return port

    def add_output(self, port: OutputPort) -> OutputPort:
        """Declare an output. For `__init__`."""
        self.outputs[port.name] = port
        return port

    @property
    def delay_s(self) -> Fraction:
        """Seconds by which this node holds back what it could say at once, at most; windows not counted."""
        return Fraction(0)

    def start(self) -> None:
        """Open devices, files, sessions."""

    def process(self) -> Status:
        """Take what is there and do all that can be done with it. Never sleeps."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget what was heard, as after `start`."""

    def stop(self) -> None:
        """Close what `start` opened. May be called twice, and without `start`."""

    def fail(self, error: AuricleError) -> None:
        """Hear that the graph is about to stop because of `error`."""

    def statistics(self) -> dict[str, Any]:
        """Figures of interest to whoever watches the stream."""
        return {}


class Source(Node):
    """A node without inputs, which everything in its graph comes from."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.clock = SourceClock()
        self.arrived: Callable[[], None] = lambda: None
        """To be called by a capture thread when there is something new; set by the scheduler."""


class Transform(Node):
    """A node with one input, whose windows each give one token of every output.

    A subclass declares the ports, the input first, and computes. What travels beside the tokens is looked
    after here: marks go to every token whose window they touch, state is forgotten at gaps, windows over
    skipped tokens are skipped, and the end is handed on when all is done.
    """

    most = 1_000_000
    """Windows to compute in one call at most."""

    rest = 0
    """Tokens that `flush` may add."""

    @property
    def reader(self) -> Reader:
        """Reader of the input."""
        return next(iter(self.inputs.values())).reader

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        """Turn windows into tokens.

        Args:
            windows: The tokens of `count` windows, which overlap where the hop is shorter than the frame.
            outputs: By port, room for `count` tokens.
        """
        raise NotImplementedError

    def flush(self, rest: NDArray[Any], write: dict[str, Stream]) -> None:
        """Hand on what the end of the stream completes, at most `rest` tokens an output.

        Args:
            rest: Tokens of the input from the next window's beginning to the end.
            write: By port, the streams to write to.
        """

    def declined(self, count: int) -> tuple[int, str | None]:
        """Decide whether to leave out the next windows, of which `count` could be done.

        Returns:
            How many to take, and the reason if they are to be skipped.
        """
        return count, None

    def process(self) -> Status:
        reader = self.reader
        streams = {name: port.stream for name, port in self.outputs.items()}
        # In this order, since the writer may be at work: it marks, then commits, then ends.
        ended = reader.stream.ended
        available = reader.windows()
        for mark in reader.new_marks():
            if isinstance(mark, Gap):
                first, last = reader.touching(mark)
                for stream in streams.values():
                    stream.mark(mark.moved(stream.start + first, stream.start + last))
        room = min(stream.room() for stream in streams.values())
        if available and room:
            self._advance(reader, streams, min(available, room, self.most))
            return Status.OK
        if ended and not available:
            if room < self.rest:
                return Status.NO_ROOM
            self.flush(reader.rest(), streams)
            for stream in streams.values():
                stream.end()
            return Status.FINISHED
        return Status.NO_ROOM if available else Status.NO_INPUT

    def _advance(self, reader: Reader, streams: dict[str, Stream], count: int) -> None:
        """Do or skip up to `count` windows."""
        if reader.gap():
            self.reset()
        count, skip = reader.stretch(count)
        reason = skip.reason if skip else None
        if reason is None:
            count, reason = self.declined(count)
            if reason:
                self.counts[reason] += count
        outputs = {name: stream.reserve(count) for name, stream in streams.items()}
        if reason is None:
            self.compute(reader.view(count), outputs)
        else:
            for stream in streams.values():
                start, stop = stream.written, stream.written + count
                source = (stream.span(start)[0], stream.span(stop - 1)[1])
                stream.mark(Skip(start, stop, reason, source))
        for stream in streams.values():
            stream.commit(count, self.began_ns)
        reader.release(count)


def describe(error: ValidationError) -> str:
    """One line of what pydantic found: where, what it was, what is allowed."""
    lines = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"no parameter {where!r}")
        elif item["type"] == "missing":
            lines.append(f"parameter {where!r} is missing")
        else:
            lines.append(f"{where}={item['input']!r}: {item['msg'][:1].lower()}{item['msg'][1:]}")
    return "; ".join(lines)


def _dtype_name(dtype: np.dtype[Any] | type) -> str:
    return dtype.name if isinstance(dtype, np.dtype) else dtype.__name__


def _axes_name(axes: tuple[Axis, ...]) -> str:
    return " x ".join(map(str, axes)) or "single values"
