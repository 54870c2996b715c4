"""Opening a model for the segments of one stream, on the first provider that does not fail."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auricle.errors import ProviderError
from auricle.models.card import Card, load_card
from auricle.models.inference.batches import open_owner
from auricle.models.inference.incremental import IncrementalInference, open_split_session
from auricle.models.inference.levels import Levels
from auricle.models.inference.owner import Seat
from auricle.models.inference.patches import PatchInference, open_patch_session, warn_if_unshared
from auricle.models.inference.providers import ACCELERATORS, full_name, usable_choices
from auricle.models.inference.sessions import open_session
from auricle.models.inference.whole import Inference, WholeInference

BATCH: Final = 16
"""Segments of the largest batch on an accelerator, unless a request says otherwise."""

LIVE_PLACES: Final = 2
"""Most segments that a live stream may have pending with an owner: more would wait there, where the
stream's measure of lateness does not see them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """How to run a model on the segments of one stream.

    Attributes:
        outputs: Names of the requested outputs, in order.
        hop_size: Frames from one segment to the next.
        providers: Providers in order of preference; see `auricle.models.inference.providers`.
        threads: Threads that share one inference.
        incremental: Whether to compute once what overlapping segments share, where the model allows
            it.
        batch: Most segments, of all streams, that are inferred together; None is `BATCH` on an
            accelerator, and each stream by itself on a CPU.
        batch_wait_s: Longest time in seconds for which a segment waits for others in its batch.
        live: Whether the source keeps its own time. If so, all levels of the card are prepared,
            since any may be asked for at any time, and few segments are pending with an owner.
    """

    outputs: tuple[str, ...]
    hop_size: int
    providers: tuple[str, ...] = ("cpu",)
    threads: int = 1
    incremental: bool = True
    batch: int | None = None
    batch_wait_s: float = 0.005
    live: bool = False

    @property
    def most(self) -> int:
        """Segments of the largest batch, if segments are run in batches."""
        return self.batch or BATCH

    @property
    def most_pending(self) -> int:
        """Segments of a file that may be pending with an owner; 0 if none will be."""
        accelerated = any(full_name(each) in ACCELERATORS for each in self.providers)
        return _places_of_file(self.most) if self.batch or accelerated else 0


def open(
    folder: Path,
    request: Request,
    levels: Levels | None = None,
    wake: Callable[[], None] = lambda: None,
) -> Inference | Seat:
    """Open a model on the first providers that do not fail.

    Providers that fail are passed over, with one log line however many streams open the model.

    Args:
        folder: Folder of a model whose card has segment sizes.
        request: Settings of the stream.
        levels: Patchout levels of the stream; None for those that the card suggests.
        wake: Function that the owner's thread calls after each answer to the `Seat`.

    Returns:
        An `Inference`, which runs segments on the caller's thread; or, on an accelerator or with
        `request.batch`, a `Seat` with the owner of the session, which runs those of all streams
        together.

    Raises:
        ConfigError: No provider of the request can run the model here, or one is unknown.
        ModelError: The model is not what its card says.
        ProviderError: None of the providers could load or run the model.
    """
    card = load_card(folder)
    levels = levels or Levels(card)
    choices = usable_choices(folder, request.providers)
    for providers, following in zip(choices, (*choices[1:], None), strict=True):
        try:
            if request.batch is not None or providers[0] in ACCELERATORS:
                return _join_owner(folder, card, request, providers, levels, wake)
            opened = _open_own(folder, card, request, providers, levels)
            log.debug("%s: %s on %s", card.name, type(opened).__name__, providers[0])
            return opened
        except ProviderError as error:
            if following is None:
                raise
            _warn_of_failure(card.name, providers[0], following[0], str(error))
    raise AssertionError("there is always a choice")


@functools.cache
def _warn_of_failure(model: str, failed: str, following: str, why: str) -> None:
    """Log a failure once, however many streams there are."""
    log.warning("%s: %s failed, and %s is next: %s", model, failed, following, why)


def _open_own(
    folder: Path, card: Card, request: Request, providers: tuple[str, ...], levels: Levels
) -> Inference:
    if levels.allowed:
        return _open_patches(folder, card, request, providers, levels)
    if request.incremental:
        split = open_split_session(folder, request.hop_size, providers, request.threads)
        if split is not None:
            assert card.segment_size is not None
            return IncrementalInference(split, card.segment_size, request.hop_size)
    return WholeInference(open_session(folder, providers, request.threads))


def _open_patches(
    folder: Path, card: Card, request: Request, providers: tuple[str, ...], levels: Levels
) -> PatchInference:
    assert card.patch_grid is not None
    assert card.segment_size is not None
    session = open_patch_session(folder, providers, request.threads)
    inference = PatchInference(session, card.patch_grid, levels.allowed[0])
    if request.hop_size < card.segment_size:
        warn_if_unshared(card.name, request.hop_size, card.patch_grid.stride)
    # A file can wait if another level is asked for.
    inference.warm(request.outputs, levels.to_prepare(all_levels=request.live))
    return inference


def _join_owner(
    folder: Path,
    card: Card,
    request: Request,
    providers: tuple[str, ...],
    levels: Levels,
    wake: Callable[[], None],
) -> Seat:
    """Join the owner of the session, which has run every shape that can be asked for later.

    A patchout that is not a level of the card has to come before the owner's other streams.
    """
    owner = open_owner(
        folder, providers, request.threads, request.outputs, request.most, request.batch_wait_s
    )
    prepared = levels.to_prepare(all_levels=True)
    owner.warm([levels.kept(level) for level in prepared] or [None])
    places = LIVE_PLACES if request.live else _places_of_file(owner.sizes[-1])
    return owner.join(wake, places)


def _places_of_file(most: int) -> int:
    """Most segments that a file may have pending: a batch that runs, and the next one."""
    return 2 * most
