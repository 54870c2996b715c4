"""The checkpoint reader: right values, and every kind of damage is noticed and named."""

import numpy as np
import pytest

from auricle.errors import ModelError
from auricle.models.convert.tensor_bundle import TensorBundle
from tests.models import bundle_writer

ARRAYS: dict[str, np.ndarray] = {
    **{f"many/layer_{i:03d}/weight": np.full(i, i, np.float32) for i in range(1, 60)},
    "conv/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "conv/kernel/Adam": np.full((2, 3, 4), -1, np.float32),
    "counter": np.array([2**40, -1], np.int64),
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.array(0.25, np.float64),
    "step": np.array(-7, np.int32),
}


def test_reads_what_was_written() -> None:
    index, shard = bundle_writer.bundle(ARRAYS)
    bundle = TensorBundle(index, [shard], "made")

    assert bundle.names() == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert bundle.shape(name) == array.shape
        read = bundle.read(name)
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


def test_every_flipped_byte_of_the_data_is_noticed() -> None:
    array = np.arange(5, dtype=np.float32)
    index, shard = bundle_writer.bundle({"kernel": array})
    for i in range(len(shard)):
        damaged = bytearray(shard)
        damaged[i] ^= 0x10
        with pytest.raises(ModelError, match=r"made: tensor 'kernel': wrong CRC in data shard 0"):
            TensorBundle(index, [bytes(damaged)], "made").read("kernel")


def test_damage_to_the_index_is_never_read_as_something_else() -> None:
    arrays = {name: ARRAYS[name] for name in ("conv/kernel", "counter", "scalar")}
    index, shard = bundle_writer.bundle(arrays)
    noticed = 0
    for i in range(len(index)):
        damaged = bytearray(index)
        damaged[i] ^= 0x10
        try:
            bundle = TensorBundle(bytes(damaged), [shard], "made")
        except ModelError:
            noticed += 1
        else:
            assert {name: bundle.read(name).tolist() for name in bundle.names()} == {
                name: array.tolist() for name, array in arrays.items()
            }
    # What is not noticed is never read: the padding of the footer and the empty meta index block.
    assert noticed > len(index) - 60


@pytest.mark.parametrize("size", [0, 1, 47, 48, 200])
def test_truncated_index(size: int) -> None:
    index, shard = bundle_writer.bundle(ARRAYS)
    with pytest.raises(ModelError, match=r"made: index is damaged"):
        TensorBundle(index[:size], [shard], "made")


def test_truncated_shard_names_the_tensor() -> None:
    index, shard = bundle_writer.bundle(ARRAYS)
    bundle = TensorBundle(index, [shard[:-1]], "made")
    bundle.read("conv/kernel")  # what is whole can be read
    with pytest.raises(ModelError, match=r"tensor 'step' ends at byte \d+ of .* truncated"):
        bundle.read("step")


def test_unknown_tensor_lists_the_names() -> None:
    index, shard = bundle_writer.bundle({"a": ARRAYS["scalar"], "b": ARRAYS["step"]})
    with pytest.raises(ModelError, match=r"made: no tensor 'c'; it has a, b"):
        TensorBundle(index, [shard], "made").read("c")


@pytest.mark.parametrize(
    ("header", "kind", "message"),
    [
        (None, 1, r"compressed \(type 1\)"),
        (bundle_writer.field(1, 2), 0, r"1 data shards were given, the index says 2"),
        (b"", 0, r"1 data shards were given, the index says None"),
        (bundle_writer.field(1, 1) + bundle_writer.field(2, 1), 0, "big-endian"),
    ],
)
def test_refuses_what_it_cannot_read(header: bytes | None, kind: int, message: str) -> None:
    index, shard = bundle_writer.bundle(ARRAYS, header, kind)
    with pytest.raises(ModelError, match=message):
        TensorBundle(index, [shard], "made")


def test_refuses_entries_it_cannot_read() -> None:
    header = bundle_writer.field(1, 1)
    string = bundle_writer.field(1, 7)
    sliced = bundle_writer.field(1, 1) + bundle_writer.field(7, b"")
    for entry, message in ((string, "data type 7"), (sliced, "partitioned variables")):
        with pytest.raises(ModelError, match=message):
            TensorBundle(bundle_writer.table({b"": header, b"x": entry}), [b""], "made")
