"""Nodes: what runs in a graph.

Life of a node: `__init__` checks and stores, and may read small files; the graph connects its
ports; `start` opens what it needs; `process` is called again and again; `stop` closes, and may be
called twice.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Generic, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import TypeVar

from auricle.engine.clock import SourceClock
from auricle.engine.command import Command
from auricle.engine.context import OFFLINE
from auricle.engine.port import InputPort, OutputPort
from auricle.errors import AuricleError, ConfigError, describe_invalid


class Status(enum.Enum):
    """Outcome of a call of `process`."""

    OK = "made progress; calling again may make more"
    CAUGHT_UP = "made progress; used all the input there was"
    NO_INPUT = "waits for input"
    NO_ROOM = "waits for room in an output"
    FINISHED = "its input has ended and everything is handed on"


class NodeParams(BaseModel):
    """Parameters of a node, as in a graph file. Unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


P = TypeVar("P", bound=NodeParams, covariant=True, default=NodeParams)


class Node(Generic[P]):
    """Something that runs in a graph.

    The type of its parameters is the type argument of its base: a `class Mel(Transform[MelParams])`
    has `MelParams`; without a type argument it has the parameters of its base.

    One thread at a time runs a node, though not always the same one: it calls `start`, `process`,
    `reset`, `stop` and `fail`. The control thread calls commands and their changes, `describe`,
    `settings` and `statistics` at any time between; a node that changes what these touch says at
    the field how it is kept safe. `Source.interrupt` may be called from any thread.

    Args:
        name: Name of the node, unique within the graph.
        params: Values of the fields of `Params`.

    Attributes:
        name: Name of the node.
        params: The parameters that it was made with.
        inputs: The declared inputs, by name.
        outputs: The declared outputs, by name.
        context: Context that the run shares with its nodes; set before `start`.
        counts: Number of losses and of tokens left out, by reason.
        elsewhere_ns: Time spent in third-party code, ns by its purpose: decoding, inference.
        began_ns: Monotonic time at which the current call of `process` began; set by the run.
        wake_ns: Monotonic time at which to call `process` again even if nothing arrives.
        under_way: Tokens that were begun and that other threads still work on.

    Raises:
        ConfigError: An unknown or unusable parameter.
    """

    Params: ClassVar[type[NodeParams]] = NodeParams

    stage: ClassVar[str] = ""
    """Word under which its time appears in a prediction's latency; the node's name, if empty."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for base in vars(cls).get("__orig_bases__", ()):
            for argument in get_args(base):
                # A base that leaves them open to its subclasses takes the bound of the variable.
                params = getattr(argument, "__bound__", argument)
                if isinstance(params, type) and issubclass(params, NodeParams):
                    cls.Params = params

    def __init__(self, name: str, **params: Any) -> None:
        self.name = name
        try:
            self.params = cast(P, self.Params(**params))
        except ValidationError as error:
            raise ConfigError(describe_invalid(error, model=self.Params), node=name) from None
        self.inputs: dict[str, InputPort] = {}
        self.outputs: dict[str, OutputPort] = {}
        self.context = OFFLINE
        self.counts: Counter[str] = Counter()
        self.elsewhere_ns: Counter[str] = Counter()
        self.began_ns = 0
        self.wake_ns: int | None = None
        self.under_way = 0

    def add_input(self, port: InputPort) -> InputPort:
        """Declare an input. To be called in `__init__` only."""
        self.inputs[port.name] = port
        return port

    def add_output(self, port: OutputPort) -> OutputPort:
        """Declare an output. To be called in `__init__` only.

        Raises:
            AuricleError: The port has neither a rate nor an input to follow.
        """
        if port.rate is None and port.follows is None:
            what = f"output {port.name!r} has neither a rate nor an input to follow"
            raise AuricleError(what, node=self.name)
        self.outputs[port.name] = port
        return port

    @property
    def delay_s(self) -> Fraction:
        """Longest time in seconds for which the node holds tokens back, beyond its window."""
        return Fraction(0)

    def connected(self) -> None:
        """Check the token types in `offered` of the inputs, now that the graph has connected them.

        Raises:
            ConfigError: A parameter that does not suit what comes in.
        """

    def start(self) -> None:
        """Open devices, files, sessions.

        Raises:
            AuricleError: Something cannot be opened.
        """

    def process(self) -> Status:
        """Take the tokens that have arrived and do all that can be done with them. Never sleeps.

        Raises:
            AuricleError: The node cannot continue; the run ends.
        """
        raise NotImplementedError

    def reset(self) -> None:
        """Forget what was heard: return to the state after `start`."""

    def stop(self) -> None:
        """Close what `start` opened. May be called twice, and without `start`."""

    def fail(self, error: AuricleError) -> None:
        """Take note that the graph is about to stop because of `error`, to report it, say."""

    def statistics(self) -> dict[str, Any]:
        """Figures for whoever monitors the stream, by name, in the types of JSON."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Facts that a display needs before the first message, in the types of JSON.

        A node that makes predictions gives `predictions`, a list with `head`, `model`,
        `model_version` and `labels` of each.
        """
        return {}

    def commands(self) -> Mapping[str, Command]:
        """The commands that it takes while it runs, by name; see `auricle.engine.command`."""
        return {}

    def settings(self) -> dict[str, Any]:
        """The parameters in effect, as commands have changed them, in the types of JSON.

        Another node made with them behaves the same.
        """
        return self.params.model_dump(mode="json")


class Source(Node[P]):
    """A node without inputs, which everything in its graph comes from.

    Attributes:
        clock: Clock that maps samples of the source to time.
        live: Whether it keeps its own time, such as a device's; set by `__init__`.
        warnings: Faults of the source that did not stop it, one line each.
    """

    among_others: ClassVar[Mapping[str, Any]] = {}
    """Defaults of its parameters, by name, where other streams run beside it."""

    carried_over: ClassVar[frozenset[str]] = frozenset()
    """Names of parameters that keep their values when another source takes its place in a graph."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.clock = SourceClock()
        self.live = False
        self.warnings: list[str] = []

    @property
    def origin(self) -> tuple[str, Path | None]:
        """What it reads: a scheme, such as `https`, `file` or `mic`, and the path of a file.

        The scheme is empty if the node does not say.
        """
        return "", None

    def interrupt(self) -> None:
        """Stop waiting for anything, since `stop` will follow. Callable from any thread."""
