"""Whether the patches of a model are those that its card describes.

A file takes any grid that is small enough for it, and gives wrong embeddings if columns are further
apart than its own. So each file is tried once, when it is opened, in runs that take hardly any
time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.models.inference.patch_split import PatchSession
from auricle.models.inference.sessions import DTYPES
from auricle.models.patchout import KEEP_F, KEEP_T, PATCHES, PatchGrid

ROUNDING: Final = 0.05
"""Largest difference of equal projections, as a fraction of the largest value, which limits the
precision of integers."""

Array = NDArray[Any]


def grid_mismatch(session: PatchSession, grid: PatchGrid, strict: bool) -> str | None:
    """How a model's patches differ from a grid; None if they do not.

    Args:
        session: The split model.
        grid: Grid of its card.
        strict: Whether the session refuses indices beyond its own, which only CPUs reliably do; if
            not, a model with more columns or rows than the grid is accepted.
    """
    one, next_one = _project_two_columns(session, grid)
    if one is None or next_one is None:
        return (
            f"no {grid.rows} rows of patches of {grid.size} frames and bands, {grid.stride} apart"
        )
    if np.abs(one[:, :, 1] - next_one[:, :, 0]).max() > ROUNDING * np.abs(one).max():
        return f"its columns are not {grid.stride} frames apart"

    def takes(columns: list[int], rows: list[int]) -> bool:
        """Whether the back has positions for these columns and rows; at most four, to be quick."""
        patches = np.zeros((1, len(rows), len(columns), one.shape[-1]), one.dtype)
        inputs = {PATCHES: patches, KEEP_T: np.array(columns), KEEP_F: np.array(rows)}
        return _run_quietly(session.back, inputs) is not None

    if not takes([0, grid.columns - 1], [0, grid.rows - 1]):
        return f"it has fewer than {grid.columns} columns, or {grid.rows} rows"
    if strict and takes([0, grid.columns], [0]):
        return f"it has more than {grid.columns} columns"
    if strict and takes([0], [0, grid.rows]):
        return f"it has more than {grid.rows} rows"
    return None


def _project_two_columns(
    session: PatchSession, grid: PatchGrid
) -> tuple[Array | None, Array | None]:
    """Project two columns of patches of noise, and the two that begin one column later.

    Returns:
        Shape (1, rows, 2, width) each; None if the front refuses the input.
    """
    (mel,) = (each for each in session.front.get_inputs() if each.name == session.input)
    noise = np.random.default_rng(0).normal(size=(1, grid.size + 2 * grid.stride, mel.shape[-1]))
    noise = noise.astype(DTYPES[mel.type])
    kept = {KEEP_T: np.arange(2), KEEP_F: np.arange(grid.rows)}
    length = grid.size + grid.stride
    one, next_one = (
        _run_quietly(session.front, {session.input: noise[:, first : first + length], **kept})
        for first in (0, grid.stride)
    )
    return one, next_one


def _run_quietly(session: Any, inputs: Mapping[str, Any]) -> Array | None:
    """The first output; None if the session refuses the inputs."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4  # it would report expected failures on standard error
    try:
        first: Array = session.run(None, inputs, options)[0]
    except Exception:  # ONNX Runtime's own classes have no common base but this
        return None
    return first
