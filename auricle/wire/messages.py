"""The types of the messages that an engine publishes.

Each class here is the only definition of its type: the codec, `schema.json`, the tables of
`docs/wire.md` and the JSON of `auricle listen --json` are made from its fields. The metadata of a
field names its unit, if it has one. Messages are frozen, so any thread may read one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from numpy.typing import NDArray

VERSION: Final = 2
"""Version of the schema; raised when a field that clients may rely on changes or is removed."""

ENGINE: Final = "_engine"
"""Name of the stream of messages about the engine itself."""


def about(text: str, unit: str = "", **limits: Any) -> Meta:
    """Metadata of a field.

    Args:
        text: Description of the field.
        unit: Unit of its values, such as Hz; empty if they have none.
        limits: Constraints that msgspec checks, such as `ge=0`.
    """
    return Meta(description=text, extra={"unit": unit}, **limits)


class Message(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base class of all messages.

    The server that sends a message sets `v`, `engine`, `topic_id`, `seq` and `published`.

    Attributes:
        received: UTC at which a subscriber received it, in seconds; set by the subscriber. By the
            clock of the engine, if the subscriber's is more than a second off.
    """

    named_by: ClassVar[str | None] = None
    """Name of the field that is the third part of the topic; None for topics of two parts."""

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
    published: Annotated[float, about("UTC at which it was passed to ZeroMQ", "s", ge=0)] = -1.0
    retained: Annotated[bool, about("whether it is repeated for a late subscriber")] = False
    received: float | UnsetType = UNSET

    @property
    def type(self) -> str:
        """Name of the type, the second part of the topic."""
        return str(self.__struct_config__.tag)

    @property
    def topic(self) -> str:
        """Topic of the message, `STREAM/TYPE` or `STREAM/TYPE/NAME`."""
        if self.named_by is None:
            return f"{self.stream}/{self.__struct_config__.tag}"
        return f"{self.stream}/{self.__struct_config__.tag}/{getattr(self, self.named_by)}"

    @property
    def transport_s(self) -> float:
        """Seconds from publishing to receiving, by the clocks of the two machines.

        0 for a message that did not come through a subscriber, or if the clocks disagree.
        """
        if self.received is UNSET:
            return 0.0
        return max(0.0, self.received - self.published)


class Placed(Message, frozen=True, kw_only=True):
    """Base class of messages about a stretch of a stream."""

    span: Annotated[
        tuple[int, int],
        about("first sample of the stretch, and the one after its last", "samples"),
    ]
    sample_rate: Annotated[int, about("sample rate of the source, in which `span` counts", "Hz")]
    start: Annotated[float, about("beginning of `span`, from the start of the source", "s")]
    end: Annotated[float, about("end of `span`, from the start of the source", "s")]
    utc: Annotated[float, about("UTC at which the last sample of `span` was heard", "s")]


class Computed(Placed, frozen=True, kw_only=True):
    """Base class of messages about results computed from a stretch of a stream."""

    index: Annotated[
        int, about("number of the segment or frame in its stream, from 0, skipped ones included")
    ]
    rung: Annotated[
        int, about("step on the overload ladder when it was computed; 0 if nothing is left out")
    ] = 0
    patchout: Annotated[
        str | None,
        about("patchout of a transformer: a level of its card, or a description of its patches"),
    ] = None
    flags: Annotated[
        Sequence[str],
        about(
            "`gap:REASON` for each gap that `span` touches; `silence` if all of it is below the "
            "gate"
        ),
    ] = ()
    latency: Annotated[
        Mapping[str, float],
        about("time from capturing the last sample to publishing, by stage; see below", "s"),
    ]


class Prediction(Computed, frozen=True, kw_only=True, tag="prediction"):
    """Activations of one head for one segment."""

    named_by: ClassVar[str | None] = "head"

    head: Annotated[str, about("name of the head, as in the topic")]
    model: Annotated[str, about("name of the model that computed the activations")]
    model_version: Annotated[str, about("version of the model")]
    activations: Annotated[
        Sequence[tuple[str, float]],
        about("labels with their activations, 0 to 1, strongest first, at most `top_k`"),
    ]


class Event(Computed, frozen=True, kw_only=True, tag="event"):
    """A label that came on or went off; the span is that of the segment that showed it."""

    named_by: ClassVar[str | None] = "head"

    head: Annotated[str, about("name of the head, as in the topic")]
    model: Annotated[str, about("name of the model that computed the activations")]
    model_version: Annotated[str, about("version of the model")]
    label: Annotated[str, about("the label")]
    change: Annotated[Literal["on", "off"], about("`on` or `off`")]
    at: Annotated[float, about("time of the change, from the start of the source", "s")]
    at_sample: Annotated[int, about("time of the change, counted at `sample_rate`", "samples")]
    at_utc: Annotated[float, about("UTC of the change", "s")]
    activation: Annotated[float, about("smoothed activation at that time, 0 to 1")]
    reason: Annotated[
        str | None,
        about(
            "cause of an `off` without low activation: `gap`, `silence`, `settings` (a command "
            "changed the rules), `end`"
        ),
    ] = None


class Gap(Placed, frozen=True, kw_only=True, tag="gap"):
    """Audio that was lost before it was analysed; silence of the same length replaces it."""

    reason: Annotated[str, about("reason; see the list")]
    seconds: Annotated[float, about("length of the gap", "s")]


class Skip(Placed, frozen=True, kw_only=True, tag="skip"):
    """Segments for which nothing was computed although their audio was captured."""

    reason: Annotated[str, about("reason; see the list")]
    seconds: Annotated[float, about("length from the first segment to the last", "s")]
    count: Annotated[int, about("number of segments", "segments")]


class Error(Message, frozen=True, kw_only=True, tag="error"):
    """The error that ended a stream."""

    error: Annotated[str, about("one line: where, and what was wrong")]
    node: Annotated[str | None, about("name of the node that failed")] = None


class End(Message, frozen=True, kw_only=True, tag="end"):
    """The end of a stream that did not fail; no results follow it."""

    reason: Annotated[
        str, about("`finished`: the input ended; `stopped`: by a command or a signal")
    ]
    seconds: Annotated[float, about("length of the audio captured", "s")]


class State(Message, frozen=True, kw_only=True, tag="state"):
    """The new state of a stream."""

    state: Annotated[str, about("name of the state; see the list")]
    since: Annotated[float, about("UTC at which the stream entered it", "s")]
    error: Annotated[str | None, about("one line: reason for `waiting` or `failed`")] = None
    retry_at: Annotated[float | None, about("UTC of the next try, if `waiting`", "s")] = None


class Percentiles(Struct, frozen=True, kw_only=True):
    """Latencies of one stage since the start of the engine."""

    p50: Annotated[float, about("median, at most 1.6 % too high", "s")]
    p95: Annotated[float, about("95th percentile, at most 1.6 % too high", "s")]
    p99: Annotated[float, about("99th percentile, at most 1.6 % too high", "s")]
    max: Annotated[float, about("longest latency, exact", "s")]
    count: Annotated[int, about("number of predictions")]


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """Condition of the engine, sent every second."""

    stream: Annotated[str, about("`_engine`")] = ENGINE
    version: Annotated[str, about("version of Auricle")]
    uptime: Annotated[float, about("time since the start of the engine", "s")]
    rung: Annotated[int, about("step on the overload ladder; 0 if nothing is left out")] = 0
    dropped: Annotated[
        int,
        about("messages that the engine failed to send; their numbers are used up"),
    ] = 0
    latency: Annotated[
        Mapping[str, Percentiles], about("latencies of all predictions since the start, by stage")
    ]
    streams: Annotated[Mapping[str, int], about("number of streams in each state")] = {}
    topics: Annotated[
        int,
        about("topics of this socket so far; later ones get this `topic_id` or higher"),
    ]
    last_seq: Annotated[
        Sequence[tuple[str, int, int]],
        about("topic, `topic_id` and last `seq` of at most 64 topics of this socket"),
    ]


class Array(Computed, frozen=True, kw_only=True, eq=False, tag="array"):
    """Rows of mel frames, embeddings or other tokens, one per token.

    The span reaches from the first to the last token; `rung`, `patchout` and `latency` are those of
    the last.

    Attributes:
        values: Values of shape `shape`, the third frame of the message; nested lists in JSON.
    """

    named_by: ClassVar[str | None] = "name"

    name: Annotated[str, about("name of the port that it is from, as in the topic")]
    count: Annotated[int, about("number of tokens: mel frames, or embeddings")]
    rate: Annotated[float, about("tokens per second", "Hz")]
    axes: Annotated[Sequence[str], about("names of the axes; the first is `token`")]
    dtype: Annotated[
        str,
        about("type of the values: `float32`, `float64`, `int16`, `int32`, `int64` or `uint8`"),
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
"""All types by their names in messages."""
