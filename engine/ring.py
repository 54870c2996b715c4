"""A ring whose windows are always contiguous.

Storage is twice the capacity: token `i` lies at `i % capacity` and again `capacity` further on, so
any window of up to `capacity` tokens is one slice, without a copy and without page-size limits.
Writing costs one small extra copy: 0.9 us a block for a 30 s window at 16 kHz, where `np.roll`
takes 41 us.

The same idea appears as Essentia's phantom buffer (only the tail mirrored) and as GNU Radio's
double-mapped buffer (by the MMU).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Ring:
    """Storage for tokens addressed by absolute index.

    It has no state but its storage, and no lock: the stream sees to it that what the writer writes
    and what any reader views never overlap.

    Args:
        capacity: Number of tokens that it holds, and length of the longest window.
        shape: Shape of one token, `()` for a sample.
        dtype: Type of the values; `object` holds Python objects.
    """

    def __init__(self, capacity: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.capacity = capacity
        # Zeros, since a window that begins before the first token reads silence there.
        self._storage: NDArray[Any] = np.zeros((2 * capacity, *shape), dtype)

    @property
    def nbytes(self) -> int:
        """Size of the storage, both halves, in bytes."""
        return self._storage.nbytes

    def window(self, start: int, count: int) -> NDArray[Any]:
        """View of tokens `[start, start + count)`, shape `(count, *shape)`; `count <= capacity`."""
        first = start % self.capacity
        return self._storage[first : first + count]

    def mirror(self, start: int, count: int) -> None:
        """Copy the `count` tokens just written to `window(start, count)` into their other half."""
        capacity, storage = self.capacity, self._storage
        first = start % capacity
        last = first + count
        if last <= capacity:
            storage[first + capacity : last + capacity] = storage[first:last]
        else:
            storage[first + capacity :] = storage[first:capacity]
            storage[: last - capacity] = storage[capacity:last]
