"""Segments of mel frames as a model takes them, and music to make them from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError
from auricle.models.card import Card
from auricle.models.front_end import FRONT_ENDS, FrontEnd
from auricle.models.registry import info
from auricle.nodes.signal.mel import mel_spectrogram
from bench.audio import music

Frames = NDArray[np.float32]
"""Mel frames, shape `(frames, n_mels)`."""


@dataclass(frozen=True, slots=True)
class Segments:
    """Segments of a model.

    Attributes:
        card: The model's card.
        front_end: Front end that makes its mel frames.
        size: Mel frames of a segment.
        hop_size: Mel frames from one segment to the next.
    """

    card: Card
    front_end: FrontEnd
    size: int
    hop_size: int

    @classmethod
    def of(cls, model: str, hop_size: int | None = None) -> Segments:
        """The segments of an installed model.

        Args:
            model: Name of the model, or its folder.
            hop_size: Mel frames from one segment to the next; None for the model card's.

        Raises:
            ConfigError: The model does not take segments.
            ModelError: The model is missing.
        """
        card = info(model)
        if card.front_end is None or card.segment_size is None:
            raise ConfigError(f"{card.name}: its card has no front_end and segment_size")
        front_end = FRONT_ENDS[card.front_end.name]
        return cls(card, front_end, card.segment_size, hop_size or card.segment_hop_size or 1)

    @property
    def hop_s(self) -> float:
        """Seconds from one segment to the next."""
        return float(self.hop_size / self.front_end.rate)

    @property
    def seconds(self) -> float:
        """Seconds of a segment."""
        return float(self.size / self.front_end.rate)

    def music(self, count: int) -> Frames:
        """The mel frames of `count` segments of music, (frames, bands) float32."""
        return music_frames(self.size + (count - 1) * self.hop_size, self.front_end)

    def normalised(self, frames: Frames) -> Frames:
        """Mel frames as the network takes them: less the card's mean, over its deviation."""
        spec = self.card.front_end
        assert spec is not None  # `of` has refused a card without one
        return (frames - np.float32(spec.mean)) / np.float32(spec.std)


def check_patches(card: Card) -> None:
    """Check that a model is a transformer with patchout.

    Raises:
        ConfigError: It is another kind of model.
    """
    if card.patch_grid is None or card.segment_size is None:
        raise ConfigError(f"{card.name}: not a model whose patches can be left out")


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Cosine of two embeddings, shape `(length,)`."""
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def music_frames(count: int, front_end: FrontEnd) -> Frames:
    """Mel frames of the demo clip, again and again, shape `(count, n_mels)`."""
    frames = mel_spectrogram(music(), front_end)
    return np.resize(frames, (count, frames.shape[1]))
