"""Reader of TensorFlow's V2 checkpoints ("tensor bundles"), without TensorFlow.

A bundle is an index and one or more data shards. The index is an immutable sorted table in
LevelDB's format: blocks of prefix-compressed entries, each block followed by a type byte and a
masked CRC-32C, an index block that points to the data blocks, and a footer that points to the index
block. The entry with the empty key is a BundleHeaderProto; every other key is a tensor's name and
its value a BundleEntryProto, which says where in which shard the bytes are.

Sources: LevelDB doc/table_format.md; TensorFlow core/protobuf/tensor_bundle.proto and the comments
of core/util/tensor_bundle/tensor_bundle.h. Not supported, and refused: snappy-compressed blocks,
big-endian bundles, partitioned ("sliced") variables, strings and other types that numpy does not
have.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError

_FOOTER_SIZE: Final = 48
_TABLE_MAGIC: Final = 0xDB4775248B80FB57
_TRAILER_SIZE: Final = 5  # type byte, masked CRC-32C
_MASK_DELTA: Final = 0xA282EAD8

# The types of weights and counters, from tensorflow/core/framework/types.proto.
_DTYPES: Final = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}

# One field of a protobuf message: an int for varints and fixed numbers, bytes for everything with a
# length.
_Field = tuple[int, int | bytes]


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int


class TensorBundle:
    """The tensors of one checkpoint.

    Args:
        index: Bytes of the `.index` file.
        shards: Bytes of the `.data-0000i-of-0000n` files, in order.
        name: Name of the checkpoint, for messages.

    Raises:
        ModelError: The index is truncated, corrupt or of a kind that is not supported.
    """

    def __init__(self, index: bytes, shards: Sequence[bytes], name: str) -> None:
        self._shards = shards
        self._name = name
        try:
            values = dict(_table(index))
            header = dict(_fields(values.pop(b"", b"")))
            self._entries = {key.decode(): _entry(value) for key, value in values.items()}
        except (ValueError, IndexError, struct.error) as error:
            raise ModelError(f"{name}: index is damaged or not a tensor bundle: {error}") from error
        if header.get(1) != len(shards):
            raise ModelError(
                f"{name}: {len(shards)} data shards were given, the index says {header.get(1)!r}"
            )
        if header.get(2, 0) != 0:
            raise ModelError(f"{name}: big-endian bundles are not supported")

    def names(self) -> list[str]:
        """Names of all tensors, sorted."""
        return sorted(self._entries)

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Shape of one tensor, read from the index alone.

        Raises:
            ModelError: The bundle has no such tensor.
        """
        return self._find(tensor).shape

    def read(self, tensor: str) -> NDArray[Any]:
        """Values of one tensor, as a read-only view of the shard's bytes.

        Raises:
            ModelError: The bundle has no such tensor, its shard is too short, or its CRC is wrong.
        """
        entry = self._find(tensor)
        where = f"{self._name}: tensor '{tensor}'"
        if not 0 <= entry.shard < len(self._shards):
            raise ModelError(
                f"{where} is in data shard {entry.shard}; there are {len(self._shards)}"
            )
        shard = self._shards[entry.shard]
        data = shard[entry.offset : entry.offset + entry.size]
        if len(data) != entry.size:
            raise ModelError(
                f"{where} ends at byte {entry.offset + entry.size} of data shard {entry.shard}, "
                f"which has {len(shard)}: the shard is truncated"
            )
        if _masked_crc(data) != entry.crc:
            raise ModelError(
                f"{where}: wrong CRC in data shard {entry.shard}: the shard is damaged"
            )
        dtype = np.dtype(entry.dtype)
        if entry.size != dtype.itemsize * int(np.prod(entry.shape, dtype=np.int64)):
            raise ModelError(
                f"{where}: {entry.size} bytes do not make shape {entry.shape} of {dtype.name}"
            )
        return np.frombuffer(data, dtype).reshape(entry.shape)

    def _find(self, tensor: str) -> _Entry:
        try:
            return self._entries[tensor]
        except KeyError:
            raise ModelError(
                f"{self._name}: no tensor '{tensor}'; it has {', '.join(self.names())}"
            ) from None


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a whole LevelDB table."""
    if len(data) < _FOOTER_SIZE:
        raise ValueError(f"{len(data)} bytes are too few, the footer alone has {_FOOTER_SIZE}")
    footer = data[-_FOOTER_SIZE:]
    if int.from_bytes(footer[-8:], "little") != _TABLE_MAGIC:
        raise ValueError("the footer has a wrong magic number")
    _, pos = _handle(footer, 0)  # the meta index: filters, which TensorFlow does not write
    index, _ = _handle(footer, pos)
    for _, value in _block(data, *index):
        yield from _block(data, *_handle(value, 0)[0])


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one block, its CRC checked."""
    end = offset + size
    if end + _TRAILER_SIZE > len(data):
        raise ValueError(f"a block of {size} bytes at {offset} reaches past the end")
    kind, crc = struct.unpack_from("<BI", data, end)
    if _masked_crc(data[offset : end + 1]) != crc:
        raise ValueError(f"wrong CRC of the block at byte {offset}")
    if kind != 0:
        raise ValueError(
            f"the block at byte {offset} is compressed (type {kind}); "
            "only plain blocks are supported"
        )
    content = data[offset:end]
    restarts = int.from_bytes(content[-4:], "little")
    stop = len(content) - 4 * (restarts + 1)
    key, pos = b"", 0
    while pos < stop:
        shared, pos = _varint(content, pos)
        fresh, pos = _varint(content, pos)
        length, pos = _varint(content, pos)
        key = key[:shared] + content[pos : pos + fresh]
        pos += fresh
        yield key, content[pos : pos + length]
        pos += length


def _handle(data: bytes, pos: int) -> tuple[tuple[int, int], int]:
    """A block's (offset, size) in bytes, and the position after the handle."""
    offset, pos = _varint(data, pos)
    size, pos = _varint(data, pos)
    return (offset, size), pos


def _entry(value: bytes) -> _Entry:
    """Decode a BundleEntryProto. Proto3 leaves out fields that are zero."""
    fields = dict(_fields(value))
    if 7 in fields:
        raise ValueError("partitioned variables are not supported")
    dtype = _int(fields.get(1, 0))
    if dtype not in _DTYPES:
        raise ValueError(f"data type {dtype} is not supported; float, double, int32 and int64 are")
    # TensorShapeProto: field 2, repeated, a message whose field 1 is the size of one dimension.
    shape = _fields(_bytes(fields.get(2, b"")))
    dims = [dict(_fields(_bytes(dim))).get(1, 0) for number, dim in shape if number == 2]
    return _Entry(
        dtype=_DTYPES[dtype],
        shape=tuple(_int(dim) for dim in dims),
        shard=_int(fields.get(3, 0)),
        offset=_int(fields.get(4, 0)),
        size=_int(fields.get(5, 0)),
        crc=_int(fields.get(6, 0)),
    )


def _fields(message: bytes) -> Iterator[_Field]:
    """Fields of a protobuf message, in order of appearance."""
    pos = 0
    while pos < len(message):
        tag, pos = _varint(message, pos)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, pos = _varint(message, pos)
            yield number, value
            continue
        if wire == 2:
            size, pos = _varint(message, pos)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"protobuf wire type {wire} is not supported")
        chunk = message[pos : pos + size]
        if len(chunk) != size:
            raise ValueError("a protobuf field reaches past its message")
        pos += size
        yield number, chunk if wire == 2 else int.from_bytes(chunk, "little")


def _varint(data: bytes, pos: int) -> tuple[int, int]:
    """A base-128 number, least significant group first, and the position after it."""
    value = shift = 0
    while True:
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")


def _masked_crc(data: bytes) -> int:
    """CRC-32C as LevelDB stores it.

    It is rotated and shifted, so that the CRC of data that contains CRCs stays reliable.
    """
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _int(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a protobuf field that should be a number is not")
    return value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a protobuf field that should be a message is not")
    return value
