"""Messages, arrays and maps as bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.errors import WireError
from auricle.wire.codec import (
    DTYPES,
    MAX_BLOCK,
    MAX_MESSAGE,
    decode,
    decode_envelope,
    decode_map,
    encode,
    encode_map,
    read_topic,
)
from auricle.wire.messages import TYPES, VERSION, Array, Message
from tests.wire.samples import EVERY, array, as_map, end, heartbeat, prediction, sent

Make = Callable[..., Message]

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def packed(content: Any) -> bytes:
    return msgspec.msgpack.encode(content)


def one_line(caught: pytest.ExceptionInfo[WireError]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- maps ------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(), plain, max_size=6))
def test_a_map_comes_back(content: dict[str, Any]) -> None:
    content.pop("v", None)
    assert decode_map(encode_map(content)) == {"v": VERSION, **content}


@given(st.binary(max_size=200))
def test_garbage_is_a_wire_error_of_one_line(data: bytes) -> None:
    for read in (decode_map, lambda data: decode([b"demo/gap", data])):
        with pytest.raises(WireError) as caught:
            read(data)
        one_line(caught)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a msgpack message"),
        (b"\xc1", "not a msgpack message"),
        (b"\x91" * 5000, "not a msgpack message"),
        (b"\xdf\xff\xff\xff\xff", "not a msgpack message"),
        (b"\x81\xa1\xff\x01", "not a msgpack message"),
        (packed([1]), "list, not a map"),
        (packed({1: 2}), "not a map with text for keys"),
        (packed({b"v": 1}), "not a map with text for keys"),
        (packed({}), "v=None"),
        (packed({"v": VERSION + 1}), f"v={VERSION + 1}; this program reads {VERSION}"),
        (packed({"v": VERSION - 1}), f"v={VERSION - 1}; this program reads {VERSION}"),
        (packed({"v": True}), "v=True"),
        (b"\0" * (MAX_MESSAGE + 1), "too long"),
    ],
)
def test_what_is_wrong_with_a_map_is_said(data: bytes, says: str) -> None:
    for read in (decode_map, lambda data: decode([b"demo/gap", data])):
        with pytest.raises(WireError) as caught:
            read(data)
        assert says in one_line(caught)


@pytest.mark.parametrize("value", [object(), np.float32(1), 1j, 2**70, "x" * (MAX_MESSAGE + 1)])
def test_what_cannot_be_sent_is_refused(value: Any) -> None:
    with pytest.raises(WireError):
        encode_map({"value": value})
    with pytest.raises(WireError):
        encode(sent(prediction(model=value)))


def test_floats_of_numpy_are_floats() -> None:
    assert decode_map(encode_map({"value": np.float64(0.5)}))["value"] == 0.5


# -- messages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", EVERY)
def test_a_message_comes_back(make: Make) -> None:
    message = sent(make())
    got = decode(encode(message))
    assert type(got) is type(message)
    assert msgspec.to_builtins(got, enc_hook=np.ndarray.tolist) == msgspec.to_builtins(
        got if isinstance(got, Array) else message, enc_hook=np.ndarray.tolist
    )
    assert as_map(got) == as_map(message)


@pytest.mark.parametrize("make", EVERY)
def test_every_field_is_on_the_wire(make: Make) -> None:
    """Also those that are at their defaults, so that a reader in C finds each."""
    message = make()
    own = {*message.__struct_fields__} - {"received", "values"}
    assert as_map(message).keys() == own | {"type"}


def test_topics_are_stream_type_and_name() -> None:
    assert [make().topic for make in EVERY] == [
        "demo/prediction/tags",
        "demo/event/tags",
        "demo/gap",
        "demo/skip",
        "demo/error",
        "demo/end",
        "demo/state",
        "_engine/heartbeat",
        "demo/array/mel",
    ]
    assert [type(make()) for make in EVERY] == list(TYPES)
    assert [make().type for make in EVERY] == [make().topic.split("/")[1] for make in EVERY]


@pytest.mark.parametrize("make", EVERY)
def test_fields_of_later_versions_are_ignored(make: Make) -> None:
    topic, _, *raw = encode(sent(make()))
    got = decode([topic, packed({**as_map(make()), "colour": ["green", {"deep": 1}]}), *raw])
    assert as_map(got) == as_map(make())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"v": 1}, "demo/prediction/tags: a message has schema version v=1; this program reads 2"),
        ({"v": 3, "type": "other", "seq": "x"}, "v=3; this program reads 2"),
        ({"v": None}, "v=None"),
        ({"v": 2.0}, "v=2.0"),
        ({"type": "title"}, "type 'title'; types are: prediction, event, gap, skip"),
        ({"type": None}, "type None"),
        ({"type": ["gap"]}, "type ['gap']"),
        ({"seq": "one"}, "demo/prediction/tags: seq='one'; int is needed"),
        ({"seq": -1}, "seq=-1; int >= 0 is needed"),
        ({"seq": True}, "seq=True; int is needed"),
        ({"seq": 1.5}, "seq=1.5; int is needed"),
        ({"topic_id": -5}, "topic_id=-5; int >= 0 is needed"),
        ({"engine": ""}, "engine=''; str of length >= 1 is needed"),
        ({"engine": 5}, "engine=5; str is needed"),
        ({"published": "now"}, "published='now'; float is needed"),
        ({"span": [1]}, "span=[1]; array of length 2 is needed"),
        ({"span": [1, "2"]}, "span=[1, '2']; int is needed"),
        ({"activations": {"a": 1}}, "activations={'a': 1}; array is needed"),
        ({"latency": {"total": "long"}}, "latency={'total': 'long'}; float is needed"),
        ({"patchout": 3}, "patchout=3; str | null is needed"),
        ({"flags": "gap"}, "flags='gap'; array is needed"),
        (
            {"stream": "other"},
            "demo/prediction/tags: the map belongs to topic 'other/prediction/tags'",
        ),
        ({"head": "mood"}, "the map belongs to topic 'demo/prediction/mood'"),
        ({"head": "a/b"}, "the map belongs to topic 'demo/prediction/a/b'"),
        ({"model": "m" * 500, "seq": "s" * 500}, "seq='sss"),
    ],
)
def test_a_message_that_is_malformed_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(WireError) as caught:
        decode([b"demo/prediction/tags", packed({**as_map(prediction()), **change})])
    assert says in one_line(caught)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "name", ["v", "type", "engine", "stream", "topic_id", "seq", "published", "span", "activations"]
)
def test_a_missing_field_is_named(name: str) -> None:
    content = as_map(prediction())
    del content[name]
    with pytest.raises(WireError, match=name):
        decode([b"demo/prediction/tags", packed(content)])


@pytest.mark.parametrize(
    "topic",
    [
        b"",
        b"demo",
        b"demo/",
        b"/gap",
        b"demo/gap/",
        b"demo/gap/a/b",
        b"de mo/gap",
        b"_other/gap",
        b"demo/Gap",
        b"demo/gap\n",
        b"demo/\xff",
        b"demo/prediction/.",
        b"x" * 1000,
    ],
)
def test_a_malformed_topic_is_refused(topic: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode([topic, packed(as_map(end()))])
    assert "not of the form STREAM/TYPE or STREAM/TYPE/NAME" in one_line(caught)
    assert len(str(caught.value)) < 200


def test_topics_of_types_that_may_come_are_topics() -> None:
    assert read_topic(b"radio:1/true_peak/left.1") == "radio:1/true_peak/left.1"
    assert read_topic(b"_engine/heartbeat") == "_engine/heartbeat"


@pytest.mark.parametrize("count", [0, 1, 4])
def test_other_numbers_of_frames_are_refused(count: int) -> None:
    with pytest.raises(WireError, match=f"a message of {count} frames"):
        decode([b"demo/gap"] * count)


def test_losses_can_be_counted_by_a_message_of_a_type_that_is_not_known() -> None:
    envelope = decode_envelope(packed({**as_map(end()), "type": "title", "reason": 5}))
    assert envelope is not None
    assert (envelope.engine, envelope.topic_id, envelope.seq) == ("e" * 16, 1, 0)
    for change in ({"v": 1}, {"seq": "x"}, {"engine": None}):
        assert decode_envelope(packed({**as_map(end()), **change})) is None
    assert decode_envelope(b"\x91" * 5000) is None


# -- arrays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_an_array_comes_back(dtype: str, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    got = decode(encode(sent(array(values=values))))
    assert isinstance(got, Array)
    assert isinstance(got.values, np.ndarray)
    assert (got.dtype, list(got.shape)) == (dtype, list(shape))
    assert got.values.dtype == values.dtype
    assert got.values.shape == shape
    np.testing.assert_array_equal(got.values, values)


def test_an_array_is_little_endian_and_in_c_order_on_the_wire() -> None:
    values = np.array([[1, 2, 3], [4, 5, 6]], ">i2").T
    _, _, raw = encode(sent(array(values=values)))
    assert raw == bytes([1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6, 0])


@pytest.mark.parametrize(
    ("change", "raw"),
    [
        ({"dtype": ""}, b"\0" * 4),
        ({"dtype": "object"}, b"\0" * 8),
        ({"dtype": ["float32"]}, b"\0" * 4),
        ({"shape": None}, b""),
        ({"shape": [-1]}, b"\0" * 4),
        ({"shape": [True]}, b"\0" * 4),
        ({"shape": [2]}, b"\0" * 4),
        ({"shape": [1]}, b"\0" * 5),
        ({"shape": [2**63, 2**63]}, b"\0" * 4),
        ({"shape": [1] * 100}, b"\0" * 4),
    ],
)
def test_an_array_that_does_not_fit_its_header_is_refused(
    change: dict[str, Any], raw: bytes
) -> None:
    header = packed({**as_map(array()), "dtype": "float32", "shape": [1], **change})
    with pytest.raises(WireError, match="demo/array/mel: ") as caught:
        decode([b"demo/array/mel", header, raw])
    one_line(caught)


def test_arrays_of_other_types_are_not_sent() -> None:
    with pytest.raises(WireError, match="complex64"):
        encode(sent(array(values=np.zeros(1, np.complex64))))
    with pytest.raises(WireError, match="too long"):
        encode(sent(array(values=np.zeros(MAX_BLOCK + 1, np.uint8))))


def test_an_array_has_three_frames_and_no_other_message_has() -> None:
    with pytest.raises(WireError, match="2 frames; an array has 3"):
        decode(encode(sent(array()))[:2])
    with pytest.raises(WireError, match="3 frames; an array has 3, other messages have 2"):
        decode([*encode(sent(heartbeat())), b""])


def test_values_in_the_map_do_not_stand_for_those_of_the_frame() -> None:
    topic, header, raw = encode(sent(array()))
    content = {**msgspec.msgpack.decode(header), "values": [[9.0]]}
    with pytest.raises(WireError, match="values"):
        decode([topic, packed(content), raw])
