"""Nodes: what runs in a graph.

Life of a node: `__init__` checks and stores; the graph connects its ports; `start` opens what it
needs; `process` is called again and again; `stop` closes, and may be called twice.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, ClassVar, Generic, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import TypeVar

from auricle.engine.clock import SourceClock
from auricle.engine.command import Command
from auricle.engine.context import OFFLINE
from auricle.engine.port import InputPort, OutputPort
from auricle.errors import AuricleError, ConfigError, describe_invalid


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


P = TypeVar("P", bound=NodeParams, covariant=True, default=NodeParams)


class Node(Generic[P]):
    """Something that runs in a graph.

    The type of its parameters is the type argument of its base: a `class Mel(Transform[MelParams])`
    has `MelParams`, one without a type argument has the parameters of its base.

    Args:
        name: Unique within the graph.
        params: Values of the fields of `Params`.

    Attributes:
        name: Name of the node.
        params: Its parameters, as it was made with them.
        inputs: The declared inputs, by name.
        outputs: The declared outputs, by name.
        context: What whoever runs the graph shares with it; set before `start`.
        counts: What was lost or left out, by reason.
        elsewhere_ns: Time spent in other people's code, by what it was: decoding, inference.
        began_ns: Monotonic time at which the current call of `process` began; set by the run.
        wake_ns: Monotonic time at which to call `process` again even if nothing arrives.
        under_way: Tokens that were begun and that other threads are still at.

    Raises:
        ConfigError: An unknown or unusable parameter.
    """

    Params: ClassVar[type[NodeParams]] = NodeParams

    stage: ClassVar[str] = ""
    """Word under which its time appears in a prediction's latency; its name, if empty."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for base in vars(cls).get("__orig_bases__", ()):
            for argument in get_args(base):
                # A base that leaves them open to its subclasses has the least that they may be.
                params = getattr(argument, "__bound__", argument)
                if isinstance(params, type) and issubclass(params, NodeParams):
                    cls.Params = params

    def __init__(self, name: str, **params: Any) -> None:
        self.name = name
        try:
            self.params = cast(P, self.Params(**params))
        except ValidationError as error:
            raise ConfigError(
                describe_invalid(error, known=self.Params.model_fields), node=name
            ) from None
        self.inputs: dict[str, InputPort] = {}
        self.outputs: dict[str, OutputPort] = {}
        self.context = OFFLINE
        self.counts: Counter[str] = Counter()
        self.elsewhere_ns: Counter[str] = Counter()
        self.began_ns = 0
        self.wake_ns: int | None = None
        self.under_way = 0

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

    def connected(self) -> None:
        """Check the token types in `offered` of the inputs, now that the graph has connected them.

        Raises:
            ConfigError: A parameter that does not go with what comes in.
        """

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

    def describe(self) -> dict[str, Any]:
        """What a display needs to know of it before the first message, in the types of JSON.

        A node that makes predictions gives `predictions`, a list with `head`, `model`,
        `model_version` and `labels` of each.
        """
        return {}

    def commands(self) -> Mapping[str, Command]:
        """What it can be asked to change while it runs, by name; see `auricle.engine.command`."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Its parameters as commands have changed them, in the types of JSON: another node made
        with them behaves the same."""
        return self.params.model_dump(mode="json")


class Source(Node[P]):
    """A node without inputs, which everything in its graph comes from.

    Attributes:
        clock: Maps the samples of the source to time.
        live: Whether it keeps its own time, such as a device's; set by `__init__`.
        warnings: What was wrong with the source, a line each, where it was no error.
    """

    among_others: ClassVar[Mapping[str, Any]] = {}
    """Parameters that it has by default where other streams run beside it."""

    carried_over: ClassVar[frozenset[str]] = frozenset()
    """Parameters that stay as they are when another source takes its place in a graph."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.clock = SourceClock()
        self.live = False
        self.warnings: list[str] = []

    def interrupt(self) -> None:
        """Hear that `stop` is to come, and wait for nothing more. From any thread."""
