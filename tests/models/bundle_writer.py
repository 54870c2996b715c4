"""A writer of TensorFlow tensor bundles, so that the reader can be tested on data made here.

Written from LevelDB's doc/table_format.md and TensorFlow's tensor_bundle.proto. Restart interval
and block size are small, so that prefix compression, restarts and several blocks all occur.
"""

import struct

import google_crc32c
import numpy as np

RESTART_INTERVAL = 4
BLOCK_SIZE = 256
DTYPES = {"float32": 1, "float64": 2, "int32": 3, "int64": 9}


def masked_crc(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    return (rotated + 0xA282EAD8) % 2**32


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return varint(number * 8 + 2) + varint(len(value)) + value
    return varint(number * 8) + varint(value)


def bundle_entry(array: np.ndarray, shard: int, offset: int, data: bytes) -> bytes:
    shape = b"".join(field(2, field(1, size)) for size in array.shape)
    entry = field(1, DTYPES[array.dtype.name]) + field(2, shape)
    # Proto3 writes no zeros.
    entry += b"".join(field(n, v) for n, v in ((3, shard), (4, offset), (5, len(data))) if v)
    return entry + varint(6 * 8 + 5) + struct.pack("<I", masked_crc(data))


def block(entries: list[tuple[bytes, bytes]], kind: int = 0) -> bytes:
    out, restarts, previous = bytearray(), [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % RESTART_INTERVAL == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
                shared += 1
        out += (
            varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        )
        previous = key
    out += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    trailer = bytes([kind])
    return bytes(out) + trailer + struct.pack("<I", masked_crc(bytes(out) + trailer))


def table(entries: dict[bytes, bytes], kind: int = 0) -> bytes:
    """A LevelDB table; `kind` is the compression type that its data blocks claim."""
    out = bytearray()
    index: list[tuple[bytes, bytes]] = []
    group: list[tuple[bytes, bytes]] = []

    def close() -> None:
        data = block(group, kind)
        index.append((group[-1][0], varint(len(out)) + varint(len(data) - 5)))
        out.extend(data)
        group.clear()

    for key in sorted(entries):
        group.append((key, entries[key]))
        if sum(len(k) + len(v) for k, v in group) > BLOCK_SIZE:
            close()
    if group:
        close()
    handles = b""
    for content in (block([]), block(index)):
        handles += varint(len(out)) + varint(len(content) - 5)
        out += content
    return bytes(out) + handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def bundle(
    arrays: dict[str, np.ndarray], header: bytes | None = None, kind: int = 0
) -> tuple[bytes, bytes]:
    """(index, data shard) of a checkpoint with one shard."""
    entries = {b"": field(1, 1) if header is None else header}
    shard = bytearray()
    for name in sorted(arrays):
        data = arrays[name].tobytes()
        entries[name.encode()] = bundle_entry(arrays[name], 0, len(shard), data)
        shard += data
    return table(entries, kind), bytes(shard)
