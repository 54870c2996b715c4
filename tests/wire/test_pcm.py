"""Blocks of PCM as bytes, and the sender for programs in Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from auricle.errors import WireError
from auricle.wire.codec import MAX_BLOCK, encode_map
from auricle.wire.pcm import PCM_FORMATS, PcmHeader, PcmSender, decode_pcm, encode_pcm

HEADER: dict[str, Any] = {
    "sample_rate": 48000,
    "channels": 2,
    "format": "s24le",
    "first_sample": 2**40,
    "seq": 7,
}
PATIENCE_MS = 5000


@pytest.mark.parametrize("name", PCM_FORMATS)
def test_a_block_of_pcm_comes_back(name: str) -> None:
    header = PcmHeader(**{**HEADER, "format": name})
    raw = bytes(range(2 * PCM_FORMATS[name]))
    assert decode_pcm(encode_pcm(header, raw)) == (header, raw)


def test_the_last_block_of_pcm_may_be_empty() -> None:
    header, raw = decode_pcm([encode_map({**HEADER, "end": True}), b""])
    assert header.end
    assert raw == b""


def test_fields_of_later_versions_are_ignored() -> None:
    header, _ = decode_pcm([encode_map({**HEADER, "colour": "green"}), b""])
    assert header == PcmHeader(**HEADER)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"v": 1}, "schema version v=1; this program reads 2"),
        ({"v": 3}, "schema version v=3; this program reads 2"),
        ({"sample_rate": 0}, "PCM header: sample_rate=0; int >= 1 is needed"),
        ({"sample_rate": 1_000_001}, "sample_rate=1000001; int <= 1000000 is needed"),
        ({"sample_rate": 44100.0}, "sample_rate=44100.0"),
        ({"channels": True}, "channels=True"),
        ({"channels": 1000}, "channels=1000"),
        ({"format": "mp3"}, "format='mp3'; formats are: u8, s16le"),
        ({"format": ["u8"]}, "format=['u8']"),
        ({"first_sample": -1}, "first_sample=-1"),
        ({"first_sample": 2**63}, "first_sample=9223372036854775808"),
        ({"seq": None}, "seq=None"),
        ({"end": 1}, "end=1"),
    ],
)
def test_a_pcm_header_that_cannot_be_used_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(WireError) as caught:
        decode_pcm([encode_map({**HEADER, **change}), b""])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pcm_comes_in_two_frames_of_whole_samples() -> None:
    good = encode_map(HEADER)
    frames: list[bytes]
    for frames in ([], [good], [good, b"", b""]):
        with pytest.raises(WireError, match="two frames"):
            decode_pcm(frames)
    with pytest.raises(WireError, match="7 bytes of PCM are not a whole number"):
        decode_pcm([good, b"\0" * 7])
    with pytest.raises(WireError, match="format, seq missing"):
        decode_pcm([encode_map({"sample_rate": 1, "channels": 1, "first_sample": 0}), b""])
    with pytest.raises(WireError, match="too long"):
        decode_pcm([good, bytes(MAX_BLOCK + 2)])


# -- the sender ------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[zmq.Socket[bytes]]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
    socket.linger = 0
    socket.rcvtimeo = PATIENCE_MS
    yield socket
    socket.close()


def test_a_sender_numbers_blocks_and_samples(receiver: zmq.Socket[bytes]) -> None:
    port = receiver.bind_to_random_port("tcp://127.0.0.1")
    with PcmSender(f"tcp://127.0.0.1:{port}", 48000, 2, "s16le") as sender:
        for count in (480, 1, 0):
            assert sender.send(bytes(4 * count))
        assert sender.send(b"", end=True)
        assert (sender.position, sender.lost) == (481, 0)
        got = [decode_pcm(receiver.recv_multipart()) for _ in range(4)]
    assert [header.first_sample for header, _ in got] == [0, 480, 481, 481]
    assert [header.seq for header, _ in got] == [0, 1, 2, 3]
    assert [header.end for header, _ in got] == [False, False, False, True]
    assert [len(raw) for _, raw in got] == [1920, 4, 0, 0]
    first, _ = got[0]
    assert (first.sample_rate, first.channels, first.format) == (48000, 2, "s16le")


def test_a_block_that_finds_no_room_is_a_hole(receiver: zmq.Socket[bytes]) -> None:
    with PcmSender("tcp://127.0.0.1:*", 16000, format="u8", bind=True) as sender:
        # Nobody is connected, so no block can be queued.
        assert not sender.send(bytes(160))
        assert (sender.position, sender.lost) == (160, 160)
        receiver.connect(sender.address)
        while not sender.send(bytes(16)):
            pass
        header, _ = decode_pcm(receiver.recv_multipart())
        assert header.first_sample == sender.lost == sender.position - 16


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("5690", 16000), "'5690' is not an address"),
        (("tcp://127.0.0.1:5690", 0), "sample_rate=0"),
        (("tcp://127.0.0.1:5690", 16000, 0), "channels=0"),
        (("tcp://127.0.0.1:5690", 16000, 1, "mp3"), "formats are: u8"),
    ],
)
def test_a_sender_that_cannot_be_is_refused(arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises(WireError, match=says):
        PcmSender(*arguments)


def test_half_a_sample_is_not_sent(receiver: zmq.Socket[bytes]) -> None:
    port = receiver.bind_to_random_port("tcp://127.0.0.1")
    with PcmSender(f"tcp://127.0.0.1:{port}", 48000, 2, "s16le") as sender:
        with pytest.raises(WireError, match="not a whole number"):
            sender.send(bytes(3))
        assert sender.send(bytes(4))
        assert decode_pcm(receiver.recv_multipart())[0].seq == 0


def test_a_port_in_use_is_named(receiver: zmq.Socket[bytes]) -> None:
    port = receiver.bind_to_random_port("tcp://127.0.0.1")
    with pytest.raises(WireError, match="Address already in use"):
        PcmSender(f"tcp://127.0.0.1:{port}", 16000, bind=True)
