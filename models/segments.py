"""The input of a backbone: segments of mel frames, the hop between them, and normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.models.card import Card
from auricle.models.front_end import FrontEnd


@dataclass(frozen=True, slots=True)
class SegmentFormat:
    """The segments that a backbone takes.

    Attributes:
        size: Frames of a segment.
        hop_size: Frames from one segment to the next.
        front_end: Front end that makes the frames.
        mean: Value subtracted from the frames.
        std: Value that they are divided by after that.
    """

    size: int
    hop_size: int
    front_end: FrontEnd
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def of(cls, card: Card, hop_size: int | None = None) -> Self:
        """The segments that a card describes.

        Args:
            card: Card of a backbone.
            hop_size: Frames from one segment to the next; None for the card's.

        Raises:
            ModelError: The card describes no segments, or its numbers are not those of the front
                end that it names.
        """
        hop_size = hop_size or card.segment_hop_size
        spec, size = card.front_end, card.segment_size
        if spec is None or size is None or hop_size is None:
            raise ModelError(
                f"{card.name}: its card has no front_end and segment sizes; is it a backbone?"
            )
        try:
            front_end = spec.definition()
        except ModelError as error:
            raise ModelError(f"{card.name}: {error}") from error
        return cls(size, hop_size, front_end, spec.mean, spec.std)

    @property
    def seconds(self) -> float:
        """Length of a segment in seconds."""
        return float(self.size / self.front_end.rate)

    @property
    def hop_s(self) -> float:
        """Seconds from one segment to the next."""
        return float(self.hop_size / self.front_end.rate)

    def normalised(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalise frames, shape (any, bands), as in training; may return `frames` itself."""
        if (self.mean, self.std) == (0.0, 1.0):
            return frames
        return (frames - np.float32(self.mean)) / np.float32(self.std)

    def describe(self) -> dict[str, Any]:
        """Sizes in frames and in seconds, by name, for displays."""
        return {
            "segment_size": self.size,
            "segment_s": self.seconds,
            "hop_size": self.hop_size,
            "hop_s": self.hop_s,
        }
