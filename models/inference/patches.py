"""Running a transformer on overlapping segments: patches are projected once, and some are left out."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ProviderError, one_line
from auricle.models.inference.sessions import DTYPES, PatchSession
from auricle.models.patchout import KEEP_F, KEEP_T, PATCHES, Kept, PatchGrid, Patchout

log = logging.getLogger(__name__)

_lock = threading.Lock()

_warmed: WeakKeyDictionary[Any, set[tuple[tuple[str, ...], Kept]]] = WeakKeyDictionary()
"""By session, what has been run: outputs and kept patches."""


class PatchInference:
    """The projected patches of one stream's latest segment, and the runs that fill and use them.

    Where a segment begins a whole number of columns behind the last one, what both have is kept;
    else, and where another setting keeps other rows, all is projected anew. For MAEST-30s these are
    5.2 MB a stream, in single precision; each hop copies those that stay, and then those that the
    run takes.

    Args:
        session: The split model.
        grid: How it cuts segments.
        patchout: Which patches are kept to begin with.
    """

    def __init__(self, session: PatchSession, grid: PatchGrid, patchout: Patchout) -> None:
        self._session = session
        self._grid = grid
        self._position = 0
        projected = session.front.get_outputs()[0]
        self._patches = np.zeros(
            (grid.rows, grid.columns, projected.shape[-1]), DTYPES[projected.type]
        )
        self._known = np.zeros(grid.columns, bool)
        self.projected = 0
        """Columns that were projected so far."""
        self.use(patchout)

    def use(self, patchout: Patchout) -> None:
        """Keep other patches from the next segment on. Raises ModelError, if none would be left."""
        columns, rows = self._grid.kept(patchout)
        self._columns, self._rows = np.array(columns), np.array(rows)
        self._known[:] = False

    def warm(self, names: list[str], patchouts: Sequence[Patchout]) -> None:
        """Run each of these settings once a session: the first run with so many tokens allocates.

        Raises:
            ProviderError: One cannot be run.
        """
        with _lock:  # who comes second waits until it is done
            done = _warmed.setdefault(self._session.back, set())
            for patchout in patchouts:
                kept = self._grid.kept(patchout)
                if (setting := (tuple(names), kept)) in done:
                    continue
                columns, rows = (np.array(indices) for indices in kept)
                shape = (1, len(rows), len(columns), self._patches.shape[2])
                try:
                    self._run(names, np.zeros(shape, self._patches.dtype), columns, rows)
                except (
                    Exception
                ) as error:  # ONNX Runtime's own classes have no common base but this
                    what = f"{self._session.what}: patchout {patchout} cannot be run: {one_line(error)}"
                    raise ProviderError(what) from error
                done.add(setting)

    def run(
        self, names: list[str], position: int, segment: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """Outputs of the model for a segment.

        Args:
            names: Of the outputs.
            position: Index of the segment's first frame.
            segment: Its frames, shape (segment_size, bands).
        """
        self._move_to(position)
        self._project(segment)
        kept = np.ascontiguousarray(self._patches[: len(self._rows), self._columns])
        return self._run(names, kept[None], self._columns, self._rows)

    def _run(
        self,
        names: list[str],
        patches: NDArray[Any],
        columns: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> list[NDArray[np.float32]]:
        inputs = {PATCHES: patches, KEEP_T: columns, KEEP_F: rows}
        results: list[NDArray[np.float32]] = self._session.back.run(names, inputs)
        return results

    def _project(self, segment: NDArray[np.float32]) -> None:
        """Project the kept columns that are not known."""
        missing = self._columns[~self._known[self._columns]]
        if not len(missing):
            return
        first, stride = missing[0], self._grid.stride
        frames = segment[first * stride : missing[-1] * stride + self._grid.size]
        inputs = {self._session.input: frames[None], KEEP_T: missing - first, KEEP_F: self._rows}
        (patches,) = self._session.front.run(None, inputs)
        self._patches[: len(self._rows), missing] = patches[0]
        self._known[missing] = True
        self.projected += len(missing)

    def _move_to(self, position: int) -> None:
        """Keep what the segment at `position` shares with the one before."""
        moved, rest = divmod(position - self._position, self._grid.stride)
        self._position = position
        if rest or not 0 <= moved < self._grid.columns:
            self._known[:] = False
        elif moved:
            left = self._grid.columns - moved
            self._patches[:, :left] = self._patches[:, moved:].copy()
            self._known[:left] = self._known[moved:]
            self._known[left:] = False


@functools.cache
def tell_if_unshared(model: str, hop_size: int, stride: int) -> None:
    """Say, once however many streams there are, that segments so many frames apart share no
    patches.
    """
    if hop_size % stride:
        log.warning(
            "%s: hop_size=%d is no multiple of %d frames from patch to patch, so segments share no patches",
            model,
            hop_size,
            stride,
        )
