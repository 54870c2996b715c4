"""The owner of a model's session on an accelerator, one however many streams it serves."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from auricle.models.inference.onnx_runner import OnnxRunner
from auricle.models.inference.owner import InferenceOwner, Runner, batch_sizes
from auricle.models.inference.providers import TORCH_TENSORRT
from auricle.models.inference.sessions import open_batch_session
from auricle.models.inference.shared import once_a_model
from auricle.models.registry import check

log = logging.getLogger(__name__)


@once_a_model
def open_owner(
    folder: Path,
    providers: tuple[str, ...],
    threads: int,
    names: tuple[str, ...],
    most: int,
    wait_s: float,
) -> InferenceOwner:
    """The owner of a model's session, shared by all who ask for the same.

    A model that has been replaced in its folder since then gets a new one.

    Args:
        folder: The model's, of segments of one size.
        providers: As `auricle.models.inference.providers.usable` gives them.
        threads: Threads that share the work of one run, on a CPU.
        names: Of the outputs that are wanted.
        most: Segments of the largest batch.
        wait_s: Longest time for which a segment waits for others.

    Raises:
        ModelError: The model is not what its card says.
        ProviderError: It cannot be loaded.
    """
    card = check(folder)
    assert card.segment_size is not None
    assert card.front_end is not None
    runner = open_runner(folder, providers, threads, names)
    fixed = runner.batch if isinstance(runner, OnnxRunner) else None
    sizes = batch_sizes(most) if fixed is None else (fixed,)
    if card.precision == "int8" and fixed is None:
        # Scales are taken over what is multiplied, all of a batch: one stream would change the
        # others.
        sizes = (1,)
    if sizes[-1] != most:
        why = (
            "what is together is quantised together" if fixed is None else "its file has no others"
        )
        log.warning("%s: batches of %d, not of up to %d: %s", card.name, sizes[-1], most, why)
    shape = (card.segment_size, card.front_end.n_mels)
    return InferenceOwner(runner, shape, sizes, wait_s, card.name, names)


def open_runner(
    folder: Path, providers: tuple[str, ...], threads: int, names: Sequence[str]
) -> Runner:
    """A model that runs batches. Arguments and errors are those of `open_owner`."""
    if providers[0] == TORCH_TENSORRT:
        from auricle.models.inference.program import open_program

        return open_program(folder, check(folder), names)
    return OnnxRunner(open_batch_session(folder, providers, threads), names)
