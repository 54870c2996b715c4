"""Whether the patches of a model are those that its card speaks of.

A file takes any grid that is small enough for it, and gives wrong embeddings where columns are
further apart than it has them. So it is asked once, when it is opened, in runs that take no time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from auricle.errors import ModelError
from auricle.models.card import Card
from auricle.models.patchout import KEEP_F, KEEP_T, PATCHES, PatchGrid

if TYPE_CHECKING:
    from auricle.models.inference.sessions import PatchSession


def difference(
    session: PatchSession, grid: PatchGrid, dtype: DTypeLike, strict: bool
) -> str | None:
    """How a model's patches are not those of a grid; None if they are.

    Args:
        session: Of the model.
        grid: What they should be.
        dtype: Of its frames.
        strict: Whether the session refuses indices that are not there, which only CPUs do for
            certain; else a model of more columns or rows is not told from one that has what the
            grid has.
    """
    columns, rows = np.arange(2), np.arange(grid.rows)
    (mel,) = (each for each in session.front.get_inputs() if each.name == session.input)
    noise = np.random.default_rng(0).normal(size=(1, grid.size + 2 * grid.stride, mel.shape[-1]))
    noise = noise.astype(dtype)

    def project(first: int) -> Any:
        frames = noise[:, first : first + grid.size + grid.stride]
        return _tried(session.front, {session.input: frames, KEEP_T: columns, KEEP_F: rows})

    one, next_one = project(0), project(grid.stride)
    if one is None or next_one is None:
        return (
            f"no {grid.rows} rows of patches of {grid.size} frames and bands, {grid.stride} apart"
        )
    # Integers are as exact as the loudest value allows.
    if np.abs(one[:, :, 1] - next_one[:, :, 0]).max() > 0.05 * np.abs(one).max():
        return f"its columns are not {grid.stride} frames apart"

    def places(columns: list[int], rows: list[int]) -> bool:
        patches = np.zeros((1, len(rows), len(columns), one.shape[-1]), one.dtype)
        inputs = {PATCHES: patches, KEEP_T: np.array(columns), KEEP_F: np.array(rows)}
        return _tried(session.back, inputs) is not None

    # Four tokens at most: none of this takes the time of a segment.
    if not places([0, grid.columns - 1], [0, grid.rows - 1]):
        return f"it has fewer than {grid.columns} columns, or {grid.rows} rows"
    if strict and places([0, grid.columns], [0]):
        return f"it has more than {grid.columns} columns"
    if strict and places([0], [0, grid.rows]):
        return f"it has more than {grid.rows} rows"
    return None


def _tried(session: Any, inputs: Mapping[str, Any]) -> Any:
    """The first output; None if it is refused."""
    import onnxruntime

    quiet = onnxruntime.RunOptions()
    quiet.log_severity_level = 4  # it would say on standard error what is no error here
    try:
        return session.run(None, inputs, quiet)[0]
    except Exception:  # ONNX Runtime's own classes have no common base but this
        return None


def check_there(session: Any, card: Card, path: Path) -> None:
    """Raise ModelError, if a model asks which patches to keep, and its card does not say what there
    are.
    """
    if card.patch_grid is None and {KEEP_T, KEEP_F} & {each.name for each in session.get_inputs()}:
        raise ModelError(
            f"{card.name}: its card has no patch_grid, and {path} takes {KEEP_T} and {KEEP_F}"
        )
