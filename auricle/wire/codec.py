"""Encoding and decoding of published messages, and of the maps of the control socket.

Everything here is pure; sockets are elsewhere. `docs/wire.md` describes the same format for other
languages. Maps are msgpack with a schema version `v`; an array is raw little-endian bytes in a
frame after its map. Nothing that could run code is ever decoded.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, reduce
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import UNSET, Struct
from numpy.typing import NDArray

from auricle.errors import WireError, one_line, shortened
from auricle.names import NAME
from auricle.wire.messages import BY_NAME, ENGINE, TYPES, VERSION, Array, Message

MAX_MESSAGE: Final = 1 << 20
"""Most bytes of a map."""

MAX_BLOCK: Final = 16 << 20
"""Most bytes of a block of samples or of an array."""

DTYPES: Final = ("float32", "float64", "int16", "int32", "int64", "uint8")
"""Types of the values that an array may have."""

_TOPIC: Final = re.compile(rf"(?:{ENGINE}|{NAME})/[a-z][a-z_]*(?:/{NAME})?")

_EXPECTED: Final = re.compile(r"Expected (?P<what>.+?)(?:, got .*)? - at `\$\.(?P<field>\w+).*`")
"""Form of msgspec's message about a field whose value has the wrong type."""


class Envelope(Struct, frozen=True, kw_only=True):
    """The fields of `auricle.wire.messages.Message` by which losses are counted."""

    v: int
    engine: str
    topic_id: int
    seq: int
    retained: bool = False


def _plain(value: Any) -> Any:
    """A subclass of float, such as NumPy's float64, as a plain float."""
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"objects of type {type(value).__name__} cannot be sent")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_any = msgspec.msgpack.Decoder()
_envelope = msgspec.msgpack.Decoder(Envelope)
_message: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(reduce(operator.or_, TYPES))


@lru_cache(maxsize=4096)
def read_topic(frame: bytes) -> str:
    """Decode the first frame of a message, its topic.

    Raises:
        WireError: The topic is not of the form STREAM/TYPE or STREAM/TYPE/NAME.
    """
    topic = frame.decode(errors="replace")
    if not _TOPIC.fullmatch(topic):
        raise WireError(
            f"topic {shortened(topic)}: not of the form STREAM/TYPE or STREAM/TYPE/NAME"
        )
    return topic


def encode(message: Message) -> list[bytes]:
    """Encode a message.

    Returns:
        Two frames, topic and map; three for an array, whose values follow as raw bytes.

    Raises:
        WireError: A field holds a value of another type, the message is longer than `MAX_MESSAGE`
            or `MAX_BLOCK` bytes, or an array is of a type that is not among `DTYPES`.
    """
    topic = message.topic.encode()
    if not isinstance(message, Array):
        return [topic, _packed(message)]
    values = message.values
    if values is UNSET:
        raise WireError(f"{message.topic}: an array without values cannot be sent")
    raw = _raw(values)
    header = msgspec.structs.replace(
        message, values=UNSET, dtype=values.dtype.name, shape=values.shape
    )
    return [topic, _packed(header), raw]


def decode(frames: Sequence[bytes]) -> Message:
    """Decode the frames that `encode` returns.

    The values of an array are read-only and share memory with their frame. Unknown fields are
    ignored.

    Args:
        frames: Topic and map, and for an array its values.

    Raises:
        WireError: A malformed topic, another schema version, an unknown type, a field that is
            missing or has a value of another type, a topic that does not match the map, or values
            that do not fill the shape.
    """
    if len(frames) not in (2, 3):
        raise WireError(f"a message of {len(frames)} frames; 2 are needed, 3 with an array")
    topic, data = read_topic(frames[0]), frames[1]
    _check_size(data)
    try:
        message = _message.decode(data)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise WireError(f"{topic}: {_reason(data, error)}") from None
    if not _is_sent(message):
        raise WireError(f"{topic}: {_reason(data, None)}")
    if message.topic != topic:
        raise WireError(f"{topic}: the map belongs to topic {shortened(message.topic)}")
    if isinstance(message, Array) != (len(frames) == 3):
        raise WireError(f"{topic}: {len(frames)} frames; an array has 3, other messages have 2")
    if isinstance(message, Array):
        # Messages are frozen, but nothing else refers to this one yet.
        msgspec.structs.force_setattr(message, "values", _values(message, frames[2]))
    return message


def decode_envelope(data: bytes) -> Envelope | None:
    """Decode only the numbers in a map frame that `decode` refuses; None if unreadable."""
    try:
        envelope = _envelope.decode(data)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return None
    return envelope if envelope.v == VERSION else None


def encode_map(content: Mapping[str, Any]) -> bytes:
    """Encode a request, an answer or the header of a block, with the schema version in front.

    Raises:
        WireError: The map holds something other than maps, lists, text, numbers, bytes and None, or
            is longer than `MAX_MESSAGE` bytes.
    """
    return _packed({"v": VERSION, **content})


def decode_map(data: bytes) -> dict[str, Any]:
    """Decode a map that `encode_map` encoded; `v` is part of it.

    Raises:
        WireError: The bytes are not msgpack, not a map with text for keys, of another schema
            version, or more than `MAX_MESSAGE`.
    """
    _check_size(data)
    try:
        content = _any.decode(data)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise WireError(f"not a msgpack message: {one_line(error)}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise WireError(f"a message is {type(content).__name__}, not a map with text for keys")
    version = content.get("v")
    if type(version) is not int or version != VERSION:
        raise WireError(
            f"a message has schema version v={shortened(version)}; this program reads {VERSION}"
        )
    return content


def explain(error: msgspec.ValidationError, content: Mapping[str, Any], kind: type[Struct]) -> str:
    """Why a map is not of a type, in words such as `seq='one'; int is needed`.

    Args:
        error: Error of msgspec from converting the map.
        content: Map that was converted.
        kind: Type that it was converted to.
    """
    fields = msgspec.structs.fields(kind)
    missing = [each.name for each in fields if each.required and each.name not in content]
    if missing:
        return f"{', '.join(missing)} missing"
    text = one_line(error)
    match = _EXPECTED.fullmatch(text)
    if match is None:
        return text
    field, what = match["field"], match["what"].replace("`", "")
    return f"{field}={shortened(content.get(field))}; {what} is needed"


def _is_sent(message: Message) -> bool:
    """Whether a message has all fields that a server sets when it sends one."""
    return (
        message.v == VERSION
        and message.engine != ""
        and -1 not in (message.topic_id, message.seq, message.published)
    )


def _reason(data: bytes, error: Exception | None) -> str:
    """Why a map is not a message: its version first, then its type, then its fields."""
    try:
        content = decode_map(data)
    except WireError as wrong:
        return str(wrong)
    name = content.get("type")
    if not isinstance(name, str) or name not in BY_NAME:
        return f"type {shortened(name)}; types are: {', '.join(BY_NAME)}"
    if isinstance(error, msgspec.ValidationError):
        return explain(error, content, BY_NAME[name])
    if error is not None:
        return one_line(error)
    missing = [each for each in ("engine", "topic_id", "seq", "published") if each not in content]
    return f"{', '.join(missing)} missing"


def _packed(content: Any) -> bytes:
    try:
        data = _encoder.encode(content)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"a message cannot be encoded: {one_line(error)}") from None
    _check_size(data)
    return data


def _check_size(data: bytes) -> None:
    if len(data) > MAX_MESSAGE:
        raise WireError(
            f"a message of {len(data)} bytes is too long; at most {MAX_MESSAGE} are allowed"
        )


def _raw(values: NDArray[Any]) -> bytes:
    if values.dtype.name not in DTYPES:
        raise WireError(
            f"an array of {values.dtype.name} cannot be sent; types are: {', '.join(DTYPES)}"
        )
    if values.nbytes > MAX_BLOCK:
        raise WireError(
            f"an array of {values.nbytes} bytes is too long; at most {MAX_BLOCK} are allowed"
        )
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def _values(header: Array, raw: bytes) -> NDArray[Any]:
    if header.dtype not in DTYPES:
        found = f"dtype={shortened(header.dtype)}"
        raise WireError(f"{header.topic}: {found}; types are: {', '.join(DTYPES)}")
    try:
        return np.frombuffer(raw, np.dtype(header.dtype).newbyteorder("<")).reshape(header.shape)
    except (ValueError, OverflowError):
        what = f"{header.dtype} and shape {list(header.shape)}"
        raise WireError(f"{header.topic}: {len(raw)} bytes do not fill {what}") from None
