"""Every type of message that an engine publishes.

A class here is the only definition of its type: the codec, `schema.json`, the tables of
`docs/wire.md` and the JSON of `auricle listen --json` are made from its fields. A field says its
unit in its metadata; without one it has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from numpy.typing import NDArray

VERSION: Final = 2
"""Version of the schema; raised when a field that a client may rely on changes or goes."""

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.:-]*"
"""Form of the names of streams, heads and arrays: the parts of a topic, which slashes divide."""

ENGINE: Final = "_engine"
"""Stream of the messages that are about the engine itself."""


def about(text: str, unit: str = "", **limits: Any) -> Meta:
    """Metadata of a field: its description, its unit, and what else msgspec has to check."""
    return Meta(description=text, extra={"unit": unit}, **limits)


class Message(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all messages.

    A server that sends one sets `v`, `engine`, `topic_id`, `seq` and `published`.

    Attributes:
        received: UTC at which a subscriber had it, in seconds; set by the subscriber.
    """

    named_by: ClassVar[str | None] = None
    """Field that is the third part of the topic; None if topics of this type have two parts."""

    v: Annotated[int, about("version of the schema: 2")] = 0
    engine: Annotated[str, about("identity of the engine, new at every start", min_length=1)] = ""
    stream: Annotated[str, about("name of the stream, as in the topic")]
    topic_id: Annotated[
        int,
        about("number of the topic on its socket, from 0 in the order in which topics began", ge=0),
    ] = -1
    seq: Annotated[
        int, about("number of the message within its topic, from 0; a hole is a loss", ge=0)
    ] = -1
    published: Annotated[float, about("UTC at which it was handed to ZeroMQ", "s", ge=0)] = -1.0
    retained: Annotated[bool, about("whether it is a repetition for a late subscriber")] = False
    received: float | UnsetType = UNSET

    @property
    def type(self) -> str:
        """Name of the type; second part of the topic."""
        return str(self.__struct_config__.tag)

    @property
    def topic(self) -> str:
        """`STREAM/TYPE` or `STREAM/TYPE/NAME`."""
        if self.named_by is None:
            return f"{self.stream}/{self.__struct_config__.tag}"
        return f"{self.stream}/{self.__struct_config__.tag}/{getattr(self, self.named_by)}"

    @property
    def transport_s(self) -> float:
        """Seconds from publishing to receiving, by the clocks of both machines.

        0 for a message that no subscriber received.
        """
        if self.received is UNSET:
            return 0.0
        return max(0.0, self.received - self.published)


class Placed(Message, frozen=True, kw_only=True):
    """Base of messages about a stretch of a stream."""

    span: Annotated[
        tuple[int, int],
        about("first sample of the stretch, and the one after its last", "samples"),
    ]
    sample_rate: Annotated[int, about("of the source, in which `span` counts", "Hz")]
    start: Annotated[float, about("beginning of `span`, from the start of the source", "s")]
    end: Annotated[float, about("end of `span`, from the start of the source", "s")]
    utc: Annotated[float, about("UTC at which the last sample of `span` was heard", "s")]


class Computed(Placed, frozen=True, kw_only=True):
    """Base of messages about what was computed from a stretch of a stream."""

    index: Annotated[
        int, about("number of the segment (or frame) in its stream, from 0, skipped ones included")
    ]
    rung: Annotated[
        int, about("step on the ladder against overload when it was computed; 0 is in full")
    ] = 0
    patchout: Annotated[
        str | None,
        about("patches that a transformer looked at: a level of its card, or in words"),
    ] = None
    flags: Annotated[Sequence[str], about("`gap:REASON` for each gap that `span` touches")] = ()
    latency: Annotated[
        Mapping[str, float],
        about("time from hearing the last sample to publishing, by stage; see below", "s"),
    ]


class Prediction(Computed, frozen=True, kw_only=True, tag="prediction"):
    """What one head says of one segment."""

    named_by: ClassVar[str | None] = "head"

    head: Annotated[str, about("name of the head, as in the topic")]
    model: Annotated[str, about("name of the model that computed it")]
    model_version: Annotated[str, about("version of the model")]
    activations: Annotated[
        Sequence[tuple[str, float]],
        about("labels with their activations, 0 to 1, strongest first, at most `top_k`"),
    ]


class Event(Computed, frozen=True, kw_only=True, tag="event"):
    """A label that came on or went off. The place is that of the segment that showed it."""

    named_by: ClassVar[str | None] = "head"

    head: Annotated[str, about("name of the head, as in the topic")]
    model: Annotated[str, about("name of the model that computed the activations")]
    model_version: Annotated[str, about("version of the model")]
    label: Annotated[str, about("the label")]
    change: Annotated[Literal["on", "off"], about("what became of it: `on` or `off`")]
    at: Annotated[float, about("when, from the start of the source", "s")]
    at_sample: Annotated[int, about("the same at `sample_rate`", "samples")]
    at_utc: Annotated[float, about("the same in UTC", "s")]
    activation: Annotated[float, about("smoothed activation at that time, 0 to 1")]
    reason: Annotated[str | None, about("what ended it if not its activation: `gap` or `end`")] = (
        None
    )


class Gap(Placed, frozen=True, kw_only=True, tag="gap"):
    """Audio that was never heard; silence of the same length stands in its place."""

    reason: Annotated[str, about("why; see the list")]
    seconds: Annotated[float, about("length", "s")]


class Skip(Placed, frozen=True, kw_only=True, tag="skip"):
    """Segments for which nothing was computed although their audio was heard."""

    reason: Annotated[str, about("why; see the list")]
    seconds: Annotated[float, about("length from the first to the last of them", "s")]
    count: Annotated[int, about("how many", "segments")]


class Error(Message, frozen=True, kw_only=True, tag="error"):
    """The error that ended a stream."""

    error: Annotated[str, about("one line: where, and what is wrong")]
    node: Annotated[str | None, about("node of the graph that failed")] = None


class End(Message, frozen=True, kw_only=True, tag="end"):
    """The end of a stream that did not fail; the last message about what was heard."""

    reason: Annotated[
        str, about("`finished`: the input has ended; `stopped`: by a command or a signal")
    ]
    seconds: Annotated[float, about("how much was heard", "s")]


class State(Message, frozen=True, kw_only=True, tag="state"):
    """A stream that came into another state."""

    state: Annotated[str, about("see the list")]
    since: Annotated[float, about("UTC at which it did", "s")]
    error: Annotated[str | None, about("one line: why it is `waiting` or `failed`")] = None
    retry_at: Annotated[float | None, about("UTC of the next try, if it is `waiting`", "s")] = None


class Percentiles(Struct, frozen=True, kw_only=True):
    """Latencies of one stage since the engine's start."""

    p50: Annotated[float, about("the median, at most 1.6 % too high", "s")]
    p95: Annotated[float, about("the 95th percentile, as exact", "s")]
    p99: Annotated[float, about("the 99th percentile, as exact", "s")]
    max: Annotated[float, about("the longest", "s")]
    count: Annotated[int, about("how many predictions")]


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """How the engine is, every second."""

    stream: Annotated[str, about("`_engine`")] = ENGINE
    version: Annotated[str, about("version of Auricle")]
    uptime: Annotated[float, about("time since the start of the engine", "s")]
    rung: Annotated[int, about("step on the ladder against overload")] = 0
    dropped: Annotated[
        int, about("messages that never left the engine, since its start; their numbers are used")
    ] = 0
    latency: Annotated[
        Mapping[str, Percentiles], about("latencies of all predictions since the start, by stage")
    ]
    streams: Annotated[Mapping[str, int], about("how many streams are in each state")] = {}
    topics: Annotated[
        int,
        about("topics of this socket so far; one that begins later has this `topic_id` or higher"),
    ]
    last_seq: Annotated[
        Sequence[tuple[str, int, int]],
        about("topic, `topic_id` and last `seq` of at most 64 topics of this socket"),
    ]


class Array(Computed, frozen=True, kw_only=True, eq=False, tag="array"):
    """Mel frames, embeddings and the like: one row a token.

    The place is from the first to the last token; `rung`, `patchout` and `latency` are those of
    the last.

    Attributes:
        values: The third frame of the message: an array of this `shape`, in JSON nested lists.
    """

    named_by: ClassVar[str | None] = "name"

    name: Annotated[str, about("name of the port that it comes from, as in the topic")]
    count: Annotated[int, about("tokens: mel frames, or embeddings")]
    rate: Annotated[float, about("tokens a second", "Hz")]
    axes: Annotated[Sequence[str], about("names of the axes; the first is `token`")]
    dtype: Annotated[
        str,
        about("`float32`; `float64`, `int16`, `int32`, `int64`, `uint8` are possible"),
    ] = ""
    shape: Annotated[
        Sequence[Annotated[int, Meta(ge=0)]], about("sizes of the axes; the first is `count`")
    ] = ()
    values: NDArray[Any] | UnsetType = UNSET


TYPES: Final[tuple[type[Message], ...]] = (
    Prediction,
    Event,
    Gap,
    Skip,
    Error,
    End,
    State,
    Heartbeat,
    Array,
)
"""All types, in the order in which `docs/wire.md` describes them."""

BY_NAME: Final[Mapping[str, type[Message]]] = {
    str(each.__struct_config__.tag): each for each in TYPES
}
"""All types by the name that messages say."""
