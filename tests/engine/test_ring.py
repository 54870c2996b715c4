"""Rings: any window is one view, whatever the position."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from auricle.engine.ring import Ring


@given(
    capacity=st.integers(1, 40),
    start=st.sampled_from([0, 1, 2**31 - 5, 2**53]),
    blocks=st.lists(st.integers(0, 40), max_size=30),
)
def test_last_tokens_are_contiguous(capacity: int, start: int, blocks: list[int]) -> None:
    ring = Ring(capacity, (2,), np.dtype(np.int64))
    written = start
    for block in blocks:
        count = min(block, capacity)
        numbers = np.arange(written, written + count)
        ring.window(written, count)[:] = numbers[:, None]
        ring.mirror(written, count)
        written += count
        held = min(capacity, written - start)
        for size in {0, 1, held // 2, held} - ({1} if not held else set()):
            window = ring.window(written - size, size)
            assert window.base is not None, "a view, not a copy"
            np.testing.assert_array_equal(window[:, 1], np.arange(written - size, written))


def test_unwritten_tokens_are_zero() -> None:
    ring = Ring(10, (), np.dtype(np.float32))
    ring.window(5, 3)[:] = 1
    ring.mirror(5, 3)
    np.testing.assert_array_equal(ring.window(-2, 7), np.zeros(7))
    np.testing.assert_array_equal(ring.window(0, 8), [0] * 5 + [1] * 3)


def test_storage_is_twice_the_capacity() -> None:
    assert Ring(10, (3,), np.dtype(np.float32)).nbytes == 2 * 10 * 3 * 4
