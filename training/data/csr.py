"""Compressed sparse rows: a compact form of lists of small integers, one list per track."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from auricle.compiled import compiled_and_kept


@dataclass(frozen=True, slots=True, eq=False)
class Csr:
    """Columns of each row, rising and without repetition ("compressed sparse rows").

    Attributes:
        starts: (rows + 1,) int64; row `i` has `columns[starts[i] : starts[i + 1]]`.
        columns: (values,) int32, columns of all rows, one row after the other.
        n_columns: Number of columns; all values of `columns` are below it.

    Raises:
        ValueError: `columns` do not rise within a row, or are out of range.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    n_columns: int

    def __post_init__(self) -> None:
        rising = np.diff(self.columns) > 0
        inner = self.starts[(self.starts > 0) & (self.starts < len(self.columns))]
        rising[inner - 1] = True  # from one row to the next
        if not rising.all():
            raise ValueError("columns must rise within a row")
        if len(self.columns) and not 0 <= self.columns.min() <= self.columns.max() < self.n_columns:
            raise ValueError(f"columns must be from 0 to {self.n_columns - 1}")

    @classmethod
    def of(cls, counts: NDArray[np.int64], columns: NDArray[np.int32], n_columns: int) -> Self:
        """Build from rows whose columns are in any order, and may repeat.

        Args:
            counts: (rows,) int64, number of values in each row.
            columns: (counts.sum(),) int32, values of all rows, one after the other, from 0 to
                `n_columns - 1`.
            n_columns: Number of columns.
        """
        rows = len(counts)
        starts, columns = _transpose(_starts(counts), columns, n_columns)
        starts, columns = _transpose(
            starts, columns, rows
        )  # sorted within rows: columns came in order
        kept = np.ones(len(columns), bool)
        kept[1:] = columns[1:] != columns[:-1]
        kept[starts[:-1][starts[:-1] < len(columns)]] = True
        counts = np.add.reduceat(np.append(kept, False), starts[:-1], dtype=np.int64)
        counts[starts[1:] == starts[:-1]] = 0
        return cls(_starts(counts), columns[kept], n_columns)

    @classmethod
    def of_lists(cls, lists: Iterable[Iterable[int]], n_columns: int) -> Self:
        """Build from the columns of each row, in any order.

        Args:
            lists: Columns by row; they are stored as int32, shape `(values,)`.
            n_columns: Number of columns.
        """
        rows = [list(row) for row in lists]
        columns = np.array([column for row in rows for column in row], np.int32)
        return cls.of(np.array([len(row) for row in rows], np.int64), columns, n_columns)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.columns[self.starts[row] : self.starts[row + 1]]

    def transposed(self) -> Csr:
        """The transpose, (n_columns, rows): the rows of each column. The arrays are new."""
        starts, columns = _transpose(self.starts, self.columns, self.n_columns)
        return Csr(starts, columns, len(self))


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


@compiled_and_kept
def _transpose(
    starts: NDArray[np.int64], columns: NDArray[np.int32], n_columns: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Rows of each column, rising."""
    into = np.zeros(n_columns + 1, np.int64)
    for column in columns:
        into[column + 1] += 1
    for column in range(n_columns):
        into[column + 1] += into[column]
    following = into[:-1].copy()
    rows = np.empty(len(columns), np.int32)
    for row in range(len(starts) - 1):
        for entry in range(starts[row], starts[row + 1]):
            column = columns[entry]
            rows[following[column]] = row
            following[column] += 1
    return into, rows
