"""Nodes: what runs in a graph.

Life of a node: `__init__` checks and stores; the graph connects its ports; `start` opens what it
needs; `process` is called again and again; `stop` closes, and may be called twice.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from auricle.engine.clock import SourceClock
from auricle.engine.overload import Member
from auricle.engine.port import InputPort, OutputPort
from auricle.errors import AuricleError, ConfigError


class Status(enum.Enum):
    """What a call of `process` came to."""

    OK = "made progress; calling again may make more"
    CAUGHT_UP = "made progress; used all the input there was"
    NO_INPUT = "waits for input"
    NO_ROOM = "waits for room in an output"
    FINISHED = "its input has ended and everything is handed on"


class NodeParams(BaseModel):
    """Parameters of a node, as in a graph file. Unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
        """Whether the source keeps its own time, so that falling behind has to be made good. Set by
        the graph for all nodes, from what the source says of itself."""
        self.load: Member | None = None
        """What says which windows to leave out when there are too many; set by the live scheduler.
        """
        self.rung = 0
        """On which rung of the ladder it works; stamped on its tokens."""
        self.level = ""
        """In which of several ways it works, likewise."""
        self.wake_ns: int | None = None
        """Monotonic time at which `process` should be called again even if nothing arrives."""
        self.began_ns = 0
        """When the current call of `process` began; set by whoever calls it."""
        self.elsewhere_ns: Counter[str] = Counter()
        """Time spent in other people's code, by what it was: decoding, inference."""
        self.counts: Counter[str] = Counter()
        """What was lost or left out, by reason."""
        self.under_way = 0
        """Tokens that it has begun and that others, on threads of theirs, are still at."""
        self.arrived: Callable[[], None] = lambda: None
        """To be called by another thread when there is something new to process; set by the
        scheduler.
        """

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
        """Seconds by which this node holds back what it could say at once, at most; windows not
        counted.
        """
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

    def interrupt(self) -> None:
        """Hear that `stop` is to come, and wait for nothing more. From any thread."""


def describe(error: ValidationError, *within: str) -> str:
    """One line of what pydantic found: where, and `within` what that is, what it was, what is
    allowed.
    """
    lines = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in (*within, *item["loc"]))
        if item["type"] == "extra_forbidden":
            lines.append(f"no parameter {where!r}")
        elif item["type"] == "missing":
            lines.append(f"parameter {where!r} is missing")
        else:
            lines.append(f"{where}={item['input']!r}: {item['msg'][:1].lower()}{item['msg'][1:]}")
    return "; ".join(lines)
