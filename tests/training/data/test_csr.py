"""Lists of small integers in compact form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="lists are transposed by compiled code")
from auricle.training.data.csr import Csr

LISTS = st.lists(st.lists(st.integers(0, 6), max_size=8), max_size=8)


def lists(csr: Csr) -> list[list[int]]:
    return [csr[row].tolist() for row in range(len(csr))]


@settings(deadline=None)  # the first call compiles
@given(LISTS)
def test_rows_are_sorted_sets(rows: list[list[int]]) -> None:
    csr = Csr.of_lists(rows, 7)
    assert lists(csr) == [sorted(set(row)) for row in rows]
    assert csr.starts.dtype == np.int64
    assert csr.columns.dtype == np.int32
    assert csr.n_columns == 7


@settings(deadline=None)
@given(LISTS)
def test_transposed(rows: list[list[int]]) -> None:
    csr = Csr.of_lists(rows, 7)
    turned = csr.transposed()
    assert lists(turned) == [
        [i for i, row in enumerate(rows) if column in row] for column in range(7)
    ]
    assert lists(turned.transposed()) == lists(csr)


@pytest.mark.parametrize("columns", [[1, 0, 2], [1, 1, 2], [0, 1, 3], [0, 1, -1]])
def test_columns_that_do_not_fit_are_refused(columns: list[int]) -> None:
    with pytest.raises(ValueError, match="columns must"):
        Csr(np.array([0, 2, 2, 3]), np.array(columns, np.int32), 3)
