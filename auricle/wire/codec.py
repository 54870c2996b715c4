"""What goes over the wire, as bytes: messages, arrays and blocks of PCM.

Everything here is pure; sockets are elsewhere. `docs/wire.md` describes the same for other
languages. Maps are msgpack and carry a schema version `v`; arrays and samples are raw little-endian
bytes behind a map. Nothing that could run code is ever read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from auricle.errors import WireError, one_line

SCHEMA_VERSION = 1
"""Raised when a message can no longer be read by yesterday's client. New fields do not raise it."""

MAX_MESSAGE = 1 << 20
"""Bytes of a map, at most."""

MAX_BLOCK = 16 << 20
"""Bytes of raw samples or of an array, at most."""

ENGINE = "_engine"
"""Stream of the messages that are about the engine itself; names with `_` in front belong to it."""

KINDS = ("events", "gap", "skip", "error", "end", "heartbeat")
"""Kinds with a meaning of their own; any other is the name of a head, and holds its predictions."""

KIND = r"[A-Za-z0-9][A-Za-z0-9_.:-]*"
"""What the name of a head looks like, so that a topic has one slash."""

DTYPES = ("float32", "float64", "int16", "int32", "int64", "uint8")
"""Types that an array may have."""

PCM_FORMATS = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8}
"""Sample formats of PCM blocks, and their bytes a sample."""


def topic(stream: str, kind: str) -> bytes:
    """The first frame of a published message."""
    return f"{stream}/{kind}".encode()


def encode(message: Mapping[str, Any]) -> bytes:
    """A map as msgpack, with the schema version in front.

    Raises:
        WireError: It holds something other than maps, lists, text, numbers, bytes and None, or is
            too long.
    """
    try:
        data: bytes = msgpack.packb({"v": SCHEMA_VERSION, **message})
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"a message cannot be encoded: {error}") from None
    if len(data) > MAX_MESSAGE:
        raise WireError(
            f"a message of {len(data)} bytes is too long; at most {MAX_MESSAGE} are allowed"
        )
    return data


def decode(data: bytes) -> dict[str, Any]:
    """The map that `encode` was given, and its `v`.

    Raises:
        WireError: Not msgpack, not a map with text for keys, of another schema version, or too
            long.
    """
    if len(data) > MAX_MESSAGE:
        raise WireError(
            f"a message of {len(data)} bytes is too long; at most {MAX_MESSAGE} are allowed"
        )
    try:
        message = msgpack.unpackb(data)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a msgpack message: {one_line(error)}") from None
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise WireError(f"a message is {type(message).__name__}, not a map with text for keys")
    version = message.get("v")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise WireError(
            f"a message has schema version v={version!r}; this program reads {SCHEMA_VERSION}"
        )
    return message


def encode_array(header: Mapping[str, Any], array: NDArray[Any]) -> tuple[bytes, bytes]:
    """Second and third frame of an array message: `header` with `dtype` and `shape` added, then the
    values.

    Raises:
        WireError: A type that is not among `DTYPES`, or too many bytes.
    """
    if array.dtype.name not in DTYPES:
        raise WireError(
            f"an array of {array.dtype.name} cannot be sent; types are: {', '.join(DTYPES)}"
        )
    if array.nbytes > MAX_BLOCK:
        raise WireError(
            f"an array of {array.nbytes} bytes is too long; at most {MAX_BLOCK} are allowed"
        )
    raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return encode({**header, "dtype": array.dtype.name, "shape": list(array.shape)}), raw


def decode_array(header: bytes, raw: bytes) -> tuple[dict[str, Any], NDArray[Any]]:
    """Header and values of an array message; the array is read-only and shares memory with `raw`.

    Raises:
        WireError: A header that is none, an unknown type, or values that do not fill the shape.
    """
    message = decode(header)
    dtype, shape = message.get("dtype"), message.get("shape")
    if dtype not in DTYPES:
        raise WireError(f"an array has dtype={dtype!r}; types are: {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise WireError(f"an array has shape={shape!r}; a list of sizes is needed")
    try:
        return message, np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).reshape(shape)
    except (ValueError, OverflowError):
        raise WireError(
            f"an array of shape {shape} and {dtype} does not fit {len(raw)} bytes"
        ) from None


@dataclass(frozen=True, slots=True)
class PcmHeader:
    """What precedes a block of raw samples.

    Attributes:
        sample_rate: Hz.
        channels: Interleaved.
        format: One of `PCM_FORMATS`.
        first_sample: Index of the block's first sample, per channel, from the sender's start.
        seq: Number of the block, from the sender's start; a hole is a lost block.
        end: Whether this block is the last one. It may be empty.
    """

    sample_rate: int
    channels: int
    format: str
    first_sample: int
    seq: int
    end: bool = False

    def __post_init__(self) -> None:
        _check_int("sample_rate", self.sample_rate, 1, 1_000_000)
        _check_int("channels", self.channels, 1, 256)
        _check_int("first_sample", self.first_sample, 0, 2**63 - 1)
        _check_int("seq", self.seq, 0, 2**63 - 1)
        if not isinstance(self.format, str) or self.format not in PCM_FORMATS:
            raise WireError(
                f"PCM header: format={self.format!r}; formats are: {', '.join(PCM_FORMATS)}"
            )
        if not isinstance(self.end, bool):
            raise WireError(f"PCM header: end={self.end!r}; true or false is needed")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * PCM_FORMATS[self.format]


def encode_pcm(header: PcmHeader, raw: bytes) -> list[bytes]:
    """The two frames of a block of PCM."""
    return [encode(asdict(header)), raw]


def decode_pcm(frames: Sequence[bytes]) -> tuple[PcmHeader, bytes]:
    """Header and raw samples of a block of PCM.

    Raises:
        WireError: Not two frames, a header that cannot be used, or not a whole number of samples.
    """
    if len(frames) != 2:
        raise WireError(
            f"PCM comes in two frames, header and samples; this message has {len(frames)}"
        )
    fields = decode(frames[0])
    missing = [
        name for name in PcmHeader.__dataclass_fields__ if name not in fields and name != "end"
    ]
    if missing:
        raise WireError(f"PCM header: {', '.join(missing)} missing")
    header = PcmHeader(
        **{name: fields[name] for name in PcmHeader.__dataclass_fields__ if name in fields}
    )
    raw = frames[1]
    if len(raw) > MAX_BLOCK:
        raise WireError(
            f"a block of {len(raw)} bytes of PCM is too long; at most {MAX_BLOCK} are allowed"
        )
    if len(raw) % header.frame_bytes:
        what = f"{header.channels} channels of {header.format}"
        raise WireError(f"{len(raw)} bytes of PCM are not a whole number of samples of {what}")
    return header, raw


def _check_int(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise WireError(
            f"PCM header: {name}={value!r}; a whole number from {least} to {most} is needed"
        )
