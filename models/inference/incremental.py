"""Running a split model on overlapping segments of one stream: what they share is computed once."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.models.card import model_path
from auricle.models.inference.providers import usable
from auricle.models.inference.sessions import load_session
from auricle.models.inference.shared import made_once_per_model
from auricle.models.inference.split import FEATURES, FRAMES, Split, split
from auricle.models.inference.whole import Inference
from auricle.models.registry import check

LONGEST_CHUNK: Final = 32
"""Most columns that one run of the front computes. A run of 32 takes 1.8 ms; shorter ones are as
fast per column, longer ones leave more to do when the last frame of a segment arrives."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class SplitSession:
    """A model in two parts; see `auricle.models.inference.split`.

    Attributes:
        front: Session from frames to feature columns.
        back: Session from a segment and its columns to the model's outputs.
        input: Name of the model's own input.
        history: Frames that the front takes before the new ones.
        width: Feature columns of a segment.
        channels: Values of a column.
    """

    front: Any
    back: Any
    input: str
    history: int
    width: int
    channels: int


def open_split_session(
    folder: Path, hop_size: int, providers: tuple[str, ...], threads: int
) -> SplitSession | None:
    """Open a model in two parts, shared by all callers with the same arguments.

    Both sessions have run once, and may be run from several threads.

    Args:
        folder: Folder of the model.
        hop_size: Frames from one segment to the next.
        providers: Names in order of preference; see `open_session`, also for errors.
        threads: Threads that share the work of one run.

    Returns:
        The sessions; None if segments so far apart have nothing in common.
    """
    return _open_split(folder, hop_size, usable(folder, providers), threads)


@made_once_per_model
def _open_split(
    folder: Path, hop_size: int, providers: tuple[str, ...], threads: int
) -> SplitSession | None:
    card = check(folder)
    path = model_path(folder, card)
    try:
        parts = split(path, hop_size)
    except ModelError as error:
        raise ModelError(f"{card.name}: {error}") from error
    if parts is None:
        return None
    return _load_parts(parts, f"{card.name}: {path}, split", providers, threads)


@functools.lru_cache(maxsize=4)
def _load_parts(parts: Split, what: str, providers: tuple[str, ...], threads: int) -> SplitSession:
    # Cached by the parts, which are the same for most hops; those of replaced models are evicted.
    front = load_session(parts.front, what, providers, threads, frames=parts.history + 1)
    back = load_session(parts.back, what, providers, threads)
    name = back.get_inputs()[0].name
    return SplitSession(front, back, name, parts.history, parts.width, parts.channels)


def chunk_size(hop_size: int) -> int:
    """Columns of a run of the front: an equal part of the `hop_size` frames between segments."""
    return math.ceil(hop_size / math.ceil(hop_size / LONGEST_CHUNK))


class IncrementalInference(Inference):
    """The feature columns of one stream's next segment, and the runs that fill and use them.

    Columns are computed in chunks whose ends are fixed by the segments, so results are the same to
    the bit however the frames arrive. Takes 0.5 MB a stream, for MusiCNN.

    Args:
        session: The split model.
        segment_size: Frames of a segment.
        hop_size: Frames from one segment to the next.
    """

    incremental = True

    def __init__(self, session: SplitSession, segment_size: int, hop_size: int) -> None:
        self._session = session
        # Frames of a segment before the first that has a column.
        self._lead = segment_size - session.width
        self._chunk = chunk_size(hop_size)
        self._columns = np.zeros((1, session.channels, session.width, 1), np.float32)
        self._filled = 0
        self._position = 0

    def advance(self, position: int, frames: NDArray[np.float32]) -> bool:
        """Compute one chunk of columns, if its frames have arrived. See `Inference`."""
        self._move_to(position)
        left = self._session.width - self._filled
        stop = self._session.width - (math.ceil(left / self._chunk) - 1) * self._chunk
        if not left or len(frames) < self._lead + stop:
            return False
        first = self._lead + self._filled - self._session.history
        taken = frames[max(0, first) : self._lead + stop]
        if first < 0:
            # No column that this segment or a later one uses depends on frames before the segment.
            taken = np.concatenate([np.zeros((-first, frames.shape[1]), np.float32), taken])
        (columns,) = self._session.front.run(None, {FRAMES: taken[None]})
        self._columns[:, :, self._filled : stop] = columns
        self._filled = stop
        return True

    def run(
        self, names: Sequence[str], position: int, segment: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """Compute the columns left, then the outputs for a segment; see `Inference`.

        Args:
            names: Names of the outputs.
            position: Index of the segment's first frame in its stream.
            segment: Normalised frames, shape (segment_size, bands), float32.
        """
        while self.advance(position, segment):
            pass
        inputs = {self._session.input: segment[None], FEATURES: self._columns}
        results: list[NDArray[np.float32]] = self._session.back.run(names, inputs)
        return results

    def _move_to(self, position: int) -> None:
        """Keep the columns that the segment at frame `position` shares with the one before."""
        moved = position - self._position
        if moved:
            kept = max(0, self._filled - moved) if moved > 0 else 0
            self._columns[:, :, :kept] = self._columns[:, :, self._filled - kept : self._filled]
            self._filled = kept
            self._position = position
