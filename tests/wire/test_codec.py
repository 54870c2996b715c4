"""Messages, arrays and PCM blocks as bytes."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.errors import WireError
from auricle.wire.codec import (
    DTYPES,
    MAX_BLOCK,
    MAX_MESSAGE,
    PCM_FORMATS,
    SCHEMA_VERSION,
    PcmHeader,
    decode,
    decode_array,
    decode_pcm,
    encode,
    encode_array,
    encode_pcm,
    topic,
)

HEADER = {"sample_rate": 48000, "channels": 2, "format": "s24le", "first_sample": 2**40, "seq": 7}

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), plain, max_size=6))
def test_a_message_comes_back(message: dict[str, Any]) -> None:
    message.pop("v", None)
    assert decode(encode(message)) == {"v": SCHEMA_VERSION, **message}


@given(st.binary(max_size=200))
def test_garbage_is_a_wire_error_of_one_line(data: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a msgpack message"),
        (b"\xc1", "not a msgpack message"),
        (b"\x91" * 5000, "not a msgpack message"),
        (b"\xdf\xff\xff\xff\xff", "not a msgpack message"),
        (b"\x81\xa1\xff\x01", "not a msgpack message"),
        (msgpack.packb([1]), "list, not a map"),
        (msgpack.packb({1: 2}), "not a msgpack message"),
        (msgpack.packb({b"v": 1}), "not a map with text for keys"),
        (msgpack.packb({}), "v=None"),
        (msgpack.packb({"v": SCHEMA_VERSION + 1}), f"v={SCHEMA_VERSION + 1}; this program reads"),
        (msgpack.packb({"v": True}), "v=True"),
        (b"\0" * (MAX_MESSAGE + 1), "too long"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, says: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(data)
    assert says in str(caught.value)


@pytest.mark.parametrize("value", [object(), np.float32(1), {1, 2}, 2**70, "x" * (MAX_MESSAGE + 1)])
def test_what_cannot_be_sent_is_refused(value: Any) -> None:
    with pytest.raises(WireError):
        encode({"value": value})


def test_a_topic_is_stream_and_kind() -> None:
    assert topic("radio:1", "tags") == b"radio:1/tags"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_an_array_comes_back(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    header, got = decode_array(*encode_array({"index": 5}, array))
    assert header == {"v": SCHEMA_VERSION, "index": 5, "dtype": dtype, "shape": list(shape)}
    assert got.dtype == array.dtype
    assert got.shape == shape
    np.testing.assert_array_equal(got, array)


def test_an_array_is_little_endian_and_in_c_order_on_the_wire() -> None:
    array = np.array([[1, 2, 3], [4, 5, 6]], ">i2").T
    _, raw = encode_array({}, array)
    assert raw == bytes([1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6, 0])


@pytest.mark.parametrize(
    ("header", "raw"),
    [
        ({"shape": [1]}, b"\0" * 4),
        ({"dtype": "object", "shape": [1]}, b"\0" * 8),
        ({"dtype": ["float32"], "shape": [1]}, b"\0" * 4),
        ({"dtype": "float32"}, b""),
        ({"dtype": "float32", "shape": [-1]}, b"\0" * 4),
        ({"dtype": "float32", "shape": [True]}, b"\0" * 4),
        ({"dtype": "float32", "shape": [2]}, b"\0" * 4),
        ({"dtype": "float32", "shape": [1]}, b"\0" * 5),
        ({"dtype": "float32", "shape": [2**63, 2**63]}, b"\0" * 4),
    ],
)
def test_an_array_that_does_not_fit_its_header_is_refused(
    header: dict[str, Any], raw: bytes
) -> None:
    with pytest.raises(WireError, match="an array"):
        decode_array(encode(header), raw)


def test_arrays_of_other_types_are_not_sent() -> None:
    with pytest.raises(WireError, match="complex64"):
        encode_array({}, np.zeros(1, np.complex64))
    with pytest.raises(WireError, match="too long"):
        encode_array({}, np.zeros(MAX_BLOCK + 1, np.uint8))


@pytest.mark.parametrize("name", PCM_FORMATS)
def test_a_block_of_pcm_comes_back(name: str) -> None:
    header = PcmHeader(**{**HEADER, "format": name})
    raw = bytes(range(2 * PCM_FORMATS[name]))
    assert decode_pcm(encode_pcm(header, raw)) == (header, raw)


def test_the_last_block_of_pcm_may_be_empty() -> None:
    header, raw = decode_pcm([encode({**HEADER, "end": True}), b""])
    assert header.end
    assert raw == b""


def test_fields_of_later_versions_are_ignored() -> None:
    header, _ = decode_pcm([encode({**HEADER, "colour": "green"}), b""])
    assert header == PcmHeader(**HEADER)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sample_rate": 0}, "sample_rate=0"),
        ({"sample_rate": 44100.0}, "sample_rate=44100.0"),
        ({"channels": True}, "channels=True"),
        ({"channels": 1000}, "channels=1000"),
        ({"format": "mp3"}, "formats are: u8, s16le"),
        ({"format": ["u8"]}, "formats are"),
        ({"first_sample": -1}, "first_sample=-1"),
        ({"seq": None}, "seq=None"),
        ({"end": 1}, "end=1"),
    ],
)
def test_a_pcm_header_that_cannot_be_used_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(WireError) as caught:
        decode_pcm([encode({**HEADER, **change}), b""])
    assert says in str(caught.value)


def test_pcm_comes_in_two_frames_of_whole_samples() -> None:
    good = encode(HEADER)
    for frames in ([], [good], [good, b"", b""]):
        with pytest.raises(WireError, match="two frames"):
            decode_pcm(frames)
    with pytest.raises(WireError, match="7 bytes of PCM are not a whole number"):
        decode_pcm([good, b"\0" * 7])
    with pytest.raises(WireError, match="format, seq missing"):
        decode_pcm([encode({"sample_rate": 1, "channels": 1, "first_sample": 0}), b""])
    with pytest.raises(WireError, match="too long"):
        decode_pcm([good, bytes(MAX_BLOCK + 2)])
