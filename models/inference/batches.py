"""Opening the owner of a model's session, shared by all streams, and the model it runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.models.card import Card
from auricle.models.inference.owner import InferenceOwner, Runner, batch_sizes
from auricle.models.inference.providers import TORCH_TENSORRT
from auricle.models.inference.sessions import open_batch_session
from auricle.models.inference.shared import made_once_per_model
from auricle.models.patchout import KEEP_F, KEEP_T, Kept
from auricle.models.registry import check

log = logging.getLogger(__name__)


class OnnxRunner:
    """A whole model in ONNX Runtime. See `auricle.models.inference.owner.Runner`.

    Args:
        session: ONNX Runtime session of the model.
        names: Names of the requested outputs.

    Attributes:
        batch: Segments of every batch, if the file fixes it; None if it does not.
    """

    def __init__(self, session: Any, names: Sequence[str]) -> None:
        self._session = session
        self._names = list(names)
        (mel,) = (each for each in session.get_inputs() if each.name not in (KEEP_T, KEEP_F))
        self._mel = mel.name
        self.batch = mel.shape[0] if isinstance(mel.shape[0], int) else None

    def prepare(self, size: int, kept: Kept | None) -> None:
        """Do nothing: the first run prepares it."""

    def run(self, segments: NDArray[np.float32], kept: Kept | None) -> list[NDArray[np.float32]]:
        """Run segments, shape (batch, segment_size, bands); see `Runner`."""
        inputs: dict[str, NDArray[Any]] = {self._mel: segments}
        if kept is not None:
            columns, rows = kept
            inputs |= {KEEP_T: np.array(columns), KEEP_F: np.array(rows)}
        results: list[NDArray[np.float32]] = self._session.run(self._names, inputs)
        return results


@made_once_per_model
def open_owner(
    folder: Path,
    providers: tuple[str, ...],
    threads: int,
    names: tuple[str, ...],
    most: int,
    wait_s: float,
) -> InferenceOwner:
    """The owner of a model's session, shared by all callers with the same arguments.

    A model that has been replaced in its folder since then gets a new owner.

    Args:
        folder: Folder of a model with segments of one size.
        providers: Full names, as `auricle.models.inference.providers.usable` returns them.
        threads: Threads that share the work of one run, on a CPU.
        names: Names of the requested outputs.
        most: Segments of the largest batch.
        wait_s: Longest time in seconds for which a segment waits for others.

    Raises:
        ModelError: The model is not what its card says.
        ProviderError: The model cannot be loaded.
    """
    card = check(folder)
    assert card.segment_size is not None
    assert card.front_end is not None
    runner = open_runner(folder, providers, threads, names)
    sizes = _sizes_for(runner, card, most)
    shape = (card.segment_size, card.front_end.n_mels)
    return InferenceOwner(runner, shape, sizes, wait_s, card.name, names)


def _sizes_for(runner: Runner, card: Card, most: int) -> tuple[int, ...]:
    """Sizes of batches, with a log line where they are not up to `most`."""
    fixed = runner.batch if isinstance(runner, OnnxRunner) else None
    if fixed is not None:
        sizes, why = (fixed,), "its file allows no other size"
    elif card.precision == "int8":
        # Scales are computed over a whole batch: one stream would change the others.
        sizes, why = (1,), "segments of a batch would be quantised together"
    else:
        return batch_sizes(most)
    if sizes[-1] != most:
        log.warning("%s: batches of %d, not of up to %d: %s", card.name, sizes[-1], most, why)
    return sizes


def open_runner(
    folder: Path, providers: tuple[str, ...], threads: int, names: Sequence[str]
) -> Runner:
    """Open a model to run batches. Arguments and errors are those of `open_owner`."""
    if providers[0] == TORCH_TENSORRT:
        from auricle.models.inference.program import open_program

        return open_program(folder, check(folder), names)
    return OnnxRunner(open_batch_session(folder, providers, threads), names)
