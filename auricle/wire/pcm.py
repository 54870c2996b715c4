"""Blocks of PCM: their header, their encoding, and a sender for programs in Python.

`auricle.nodes.inputs.zmq` is the receiving end; `docs/wire.md` describes the format for other
languages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Annotated, Final, Literal, Self, get_args

import msgspec
import zmq
from msgspec import Struct

from auricle.errors import WireError
from auricle.wire.address import check_address, check_free
from auricle.wire.codec import MAX_BLOCK, decode_map, encode_map, explain
from auricle.wire.messages import VERSION, about

PcmFormat = Literal["u8", "s16le", "s24le", "s32le", "f32le", "f64le"]
"""Name of a sample format as FFmpeg spells it: kind, bits, byte order."""

PCM_FORMATS: Final[Mapping[str, int]] = {
    name: int(re.sub(r"\D", "", name)) // 8 for name in get_args(PcmFormat)
}
"""Bytes per sample of each sample format."""

LONGEST_INDEX: Final = 2**63 - 1
"""Largest index of a sample or number of a block."""

LINGER_MS: Final = 500
"""Time that queued blocks still have to be sent once a sender is closed, in ms."""


class PcmHeader(Struct, frozen=True, kw_only=True):
    """Header of a block of raw samples."""

    v: Annotated[int, about("version of the schema: 2")] = VERSION
    sample_rate: Annotated[int, about("1 to 1 000 000", "Hz", ge=1, le=1_000_000)]
    channels: Annotated[int, about("1 to 256; mixed down to one", ge=1, le=256)]
    format: Annotated[str, about("`u8`, `s16le`, `s24le` (3 bytes), `s32le`, `f32le`, `f64le`")]
    first_sample: Annotated[
        int,
        about(
            "index of the first sample of the block, counted per channel from your start",
            "samples",
            ge=0,
            le=LONGEST_INDEX,
        ),
    ]
    seq: Annotated[int, about("number of the block from your start", ge=0, le=LONGEST_INDEX)]
    end: Annotated[bool, about("may be left out; true on the last block, which may be empty")] = (
        False
    )

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample in all channels."""
        return self.channels * PCM_FORMATS[self.format]


def encode_pcm(header: PcmHeader, raw: bytes) -> list[bytes]:
    """Encode a block of PCM as two frames, the header and the raw samples."""
    return [encode_map(msgspec.structs.asdict(header)), raw]


def decode_pcm(frames: Sequence[bytes]) -> tuple[PcmHeader, bytes]:
    """Decode the two frames of a block of PCM.

    Args:
        frames: Header and raw samples, as they were received.

    Returns:
        The header and the raw samples, interleaved, in the format that the header names.

    Raises:
        WireError: Not two frames, a header of another schema version, a field that is missing or
            out of range, or bytes that are not a whole number of samples.
    """
    if len(frames) != 2:
        raise WireError(
            f"PCM comes in two frames, header and samples; this message has {len(frames)}"
        )
    content, raw = decode_map(frames[0]), frames[1]
    try:
        header = msgspec.convert(content, PcmHeader)
    except msgspec.ValidationError as error:
        raise WireError(f"PCM header: {explain(error, content, PcmHeader)}") from None
    if header.format not in PCM_FORMATS:
        raise WireError(
            f"PCM header: format={header.format!r}; formats are: {', '.join(PCM_FORMATS)}"
        )
    if len(raw) > MAX_BLOCK:
        raise WireError(
            f"a block of {len(raw)} bytes of PCM is too long; at most {MAX_BLOCK} are allowed"
        )
    if len(raw) % header.frame_bytes:
        what = f"{header.channels} channels of {header.format}"
        raise WireError(f"{len(raw)} bytes of PCM are not a whole number of samples of {what}")
    return header, raw


class PcmSender:
    """Numbers blocks of samples and sends them to a `ZmqInput`.

    Sending never waits: a block for which the queue has no room is lost, and becomes a gap with the
    reason `hole` at the other end. Nothing here is locked: use a sender on one thread only.

    Args:
        address: Address at which the input binds; with `bind`, the one it connects to.
        sample_rate: Sample rate in Hz, 1 to 1 000 000.
        channels: Number of interleaved channels, 1 to 256.
        format: Sample format, one of `PCM_FORMATS`.
        bind: Whether to bind instead of connecting.

    Attributes:
        address: Address in use, with the port chosen for `*`.
        position: Samples per channel so far, lost ones included.
        lost: Samples per channel that were lost for lack of room.

    Raises:
        WireError: The address, rate, number of channels or format is invalid.

    Example:
        >>> with PcmSender("tcp://127.0.0.1:5690", 48000, 2) as sender:     # doctest: +SKIP
        ...     sender.send(block.astype("<f4").tobytes())
    """

    def __init__(
        self,
        address: str,
        sample_rate: int,
        channels: int = 1,
        format: str = "f32le",
        *,
        bind: bool = False,
    ) -> None:
        check_address(address)
        header = PcmHeader(
            sample_rate=sample_rate, channels=channels, format=format, first_sample=0, seq=0
        )
        self._header, _ = decode_pcm(encode_pcm(header, b""))
        self.position = 0
        self.lost = 0
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
        socket.linger = LINGER_MS
        try:
            if bind:
                check_free(address)
                socket.bind(address)
            else:
                socket.connect(address)
        except WireError:
            socket.close()
            raise
        except zmq.ZMQError as error:
            socket.close()
            raise WireError(f"{address}: {error.strerror}") from None
        self.address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._socket = socket

    def send(self, samples: bytes, *, end: bool = False) -> bool:
        """Send a block of samples.

        Args:
            samples: Interleaved samples in the sender's format, without padding; at most 16 MiB.
            end: Whether this block, which may be empty, ends the stream.

        Returns:
            True if the block was queued; False if there was no room, and it is lost.

        Raises:
            WireError: The bytes are not a whole number of samples, or more than 16 MiB.
        """
        header = msgspec.structs.replace(self._header, first_sample=self.position, end=end)
        frames = encode_pcm(header, samples)
        decode_pcm(frames)
        count = len(samples) // header.frame_bytes
        self._header = msgspec.structs.replace(self._header, seq=header.seq + 1)
        self.position += count
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            self.lost += count
            return False
        return True

    def close(self) -> None:
        """Close the socket; queued blocks have half a second more to be sent."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
