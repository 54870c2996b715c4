"""Running a transformer on overlapping segments: patches are projected once, and some dropped."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError, ProviderError, one_line
from auricle.models.card import model_path
from auricle.models.inference.grid_check import grid_mismatch
from auricle.models.inference.patch_split import PatchSession, split_patches
from auricle.models.inference.providers import CPU, usable
from auricle.models.inference.sessions import DTYPES, load_session
from auricle.models.inference.shared import made_once_per_model
from auricle.models.inference.whole import Inference
from auricle.models.patchout import KEEP_F, KEEP_T, PATCHES, Kept, PatchGrid, Patchout
from auricle.models.registry import check

log = logging.getLogger(__name__)


def open_patch_session(folder: Path, providers: tuple[str, ...], threads: int) -> PatchSession:
    """Open a model whose patches can be left out, shared by all callers with the same arguments.

    Its patches are those of the card's `patch_grid`. Arguments and errors are those of
    `auricle.models.inference.sessions.open_session`.
    """
    return _open_patches(folder, usable(folder, providers), threads)


@made_once_per_model
def _open_patches(folder: Path, providers: tuple[str, ...], threads: int) -> PatchSession:
    card = check(folder)
    assert card.patch_grid is not None
    path = model_path(folder, card)
    try:
        parts = split_patches(path)
    except ModelError as error:
        raise ModelError(f"{card.name}: {error}") from error
    grid, what = card.patch_grid, f"{card.name}: {path}, split"
    frames = (grid.columns - 1) * grid.stride + grid.size
    front = load_session(parts.front, what, providers, threads, frames=frames)
    back = load_session(parts.back, what, providers, threads)
    session = PatchSession(front, back, parts.input, what)
    if mismatch := grid_mismatch(session, grid, strict=providers[0] == CPU):
        raise ModelError(f"{card.name}: patch_grid is not that of {path}: {mismatch}")
    return session


_lock = threading.Lock()  # guards `_warmed`; held while a session is warmed up

_warmed: WeakKeyDictionary[Any, set[tuple[tuple[str, ...], Kept]]] = WeakKeyDictionary()
"""Outputs and kept patches that each session has been run with."""


class PatchInference(Inference):
    """The projected patches of one stream's latest segment, and the runs that fill and use them.

    If a segment begins a whole number of columns after the last one, their common patches are kept;
    otherwise, and if another setting keeps other rows, all are projected again. For MAEST-30s the
    patches take 5.2 MB a stream, in float32; each hop copies those that stay, and then those that
    the run takes. The sessions are shared; the rest belongs to the thread that runs the stream.

    Args:
        session: The split model.
        grid: Grid by which it cuts segments.
        patchout: Patches to keep at first.

    Attributes:
        projected: Number of columns projected so far.
    """

    def __init__(self, session: PatchSession, grid: PatchGrid, patchout: Patchout) -> None:
        self._session = session
        self._grid = grid
        self._position = 0
        output = session.front.get_outputs()[0]
        self._patches = np.zeros((grid.rows, grid.columns, output.shape[-1]), DTYPES[output.type])
        self._known = np.zeros(grid.columns, bool)
        self.projected = 0
        self.use(patchout)

    def use(self, patchout: Patchout) -> None:
        """Keep other patches from the next segment on.

        Raises:
            ModelError: No patches would be left.
        """
        columns, rows = self._grid.kept(patchout)
        self._columns, self._rows = np.array(columns), np.array(rows)
        self._known[:] = False

    def warm(self, names: Sequence[str], patchouts: Iterable[Patchout]) -> None:
        """Run each of these settings once per session: the first run with a shape allocates.

        Args:
            names: Names of the outputs.
            patchouts: Settings to run.

        Raises:
            ProviderError: One of them cannot be run.
        """
        with _lock:  # a second caller waits until the first is done
            done = _warmed.setdefault(self._session.back, set())
            for patchout in patchouts:
                setting = (tuple(names), self._grid.kept(patchout))
                if setting not in done:
                    self._run_zeros(names, patchout)
                    done.add(setting)

    def _run_zeros(self, names: Sequence[str], patchout: Patchout) -> None:
        columns, rows = (np.array(indices) for indices in self._grid.kept(patchout))
        shape = (1, len(rows), len(columns), self._patches.shape[2])
        try:
            self._run(names, np.zeros(shape, self._patches.dtype), columns, rows)
        except Exception as error:  # ONNX Runtime's own classes have no common base but this
            what = f"{self._session.what}: patchout {patchout} cannot be run: {one_line(error)}"
            raise ProviderError(what) from error

    def run(
        self, names: Sequence[str], position: int, segment: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """Project the patches that are new, then compute the outputs; see `Inference`.

        Args:
            names: Names of the outputs.
            position: Index of the segment's first frame in its stream.
            segment: Normalised frames, shape (segment_size, bands), float32.
        """
        self._move_to(position)
        self._project(segment)
        kept = np.ascontiguousarray(self._patches[: len(self._rows), self._columns])
        return self._run(names, kept[None], self._columns, self._rows)

    def _run(
        self,
        names: Sequence[str],
        patches: NDArray[Any],
        columns: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> list[NDArray[np.float32]]:
        inputs = {PATCHES: patches, KEEP_T: columns, KEEP_F: rows}
        results: list[NDArray[np.float32]] = self._session.back.run(names, inputs)
        return results

    def _project(self, segment: NDArray[np.float32]) -> None:
        """Project the kept columns whose projection is not known."""
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
        """Keep the patches that the segment at frame `position` shares with the one before."""
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
def warn_if_unshared(model: str, hop_size: int, stride: int) -> None:
    """Log, once however many streams there are, that segments share no patches.

    Args:
        model: Name of the model.
        hop_size: Frames from one segment to the next.
        stride: Frames from one patch to the next.
    """
    if hop_size % stride:
        log.warning(
            "%s: hop_size=%d is not a multiple of the %d frames from patch to patch, so segments "
            "share no patches",
            model,
            hop_size,
            stride,
        )
