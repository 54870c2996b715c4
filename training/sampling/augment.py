"""Augmentation of a batch: mixing segments, and masking parts of them.

Random numbers come from a generator that the caller passes, so a batch can be drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from auricle.errors import RecipeError, TrainingError


@dataclass(frozen=True, slots=True)
class Mixup:
    """How the segments of a batch are mixed; the same for inputs and all their targets.

    Attributes:
        weights: Share of each segment itself, (batch,), from a half to 1.
        partners: Index of the segment that makes up the rest, (batch,) int64.
    """

    weights: Tensor
    partners: Tensor

    @classmethod
    def draw(cls, batch: int, generator: torch.Generator, alpha: float = 0.3) -> Mixup:
        """Weights from Beta(alpha, alpha), one a segment, and a permutation of the batch.

        H. Zhang et al., "mixup" (ICLR 2018); as in MAEST each segment has its own weight, and
        keeps the larger share of the mix (thesis, section 6.3.2: alpha 0.3).

        Args:
            batch: Number of segments.
            generator: For the draws, which happen on its device.
            alpha: Positive; the smaller, the less is mixed.

        Raises:
            RecipeError: `alpha` is not positive.
        """
        if not alpha > 0:
            raise RecipeError(f"mixup: alpha={alpha} must be positive")
        device = generator.device
        # A Dirichlet of two is a Beta and its complement. torch.distributions, which calls this,
        # takes no generator.
        both = torch._sample_dirichlet(torch.full((batch, 2), alpha, device=device), generator)
        return cls(both.max(1).values, torch.randperm(batch, generator=generator, device=device))

    def __call__(self, values: Tensor) -> Tensor:
        """Mix rows, of the same number as the weights; floating-point, any further shape.

        Raises:
            TrainingError: There are more rows or fewer.
        """
        if len(values) != len(self.weights):
            raise TrainingError(f"mixup: {len(values)} rows, drawn for {len(self.weights)}")
        weights = self.weights.to(values.device, values.dtype).view(-1, *[1] * (values.ndim - 1))
        return weights * values + (1 - weights) * values[self.partners.to(values.device)]


@dataclass(frozen=True, slots=True)
class SpecAugment:
    """Masks over spans of frames and of bands, other ones in each segment.

    D. Park et al., "SpecAugment" (Interspeech 2019), without time warping. The widths of masks are
    uniform from 0 to the largest, and so are their places, from the first to the last where they
    fit; they may overlap. Defaults are those of MAEST (thesis, section 6.3.2), for segments of 5 to
    30 s.

    Attributes:
        time_masks: Number of masks over frames.
        time_width: Most frames of a mask.
        band_masks: Number of masks over bands.
        band_width: Most bands of a mask.
        fill: Value that masks are filled with; 0 is the mean, where the input is normalised.

    Raises:
        RecipeError: A negative number or width.
    """

    time_masks: int = 20
    time_width: int = 8
    band_masks: int = 5
    band_width: int = 8
    fill: float = 0.0

    def __post_init__(self) -> None:
        for name in ("time_masks", "time_width", "band_masks", "band_width"):
            if getattr(self, name) < 0:
                raise RecipeError(f"SpecAugment: {name}={getattr(self, name)} must not be negative")

    def __call__(self, mel: Tensor, generator: torch.Generator) -> Tensor:
        """A masked copy of segments (batch, frames, bands); draws are on the generator's device."""
        batch, frames, bands = mel.shape
        time = _masked(batch, frames, self.time_masks, self.time_width, generator)
        band = _masked(batch, bands, self.band_masks, self.band_width, generator)
        return mel.masked_fill((time[:, :, None] | band[:, None, :]).to(mel.device), self.fill)


def _masked(batch: int, length: int, masks: int, width: int, generator: torch.Generator) -> Tensor:
    """Which positions some mask covers, (batch, length)."""
    size, device = (batch, masks, 1), generator.device
    widths = torch.randint(min(width, length) + 1, size, generator=generator, device=device)
    places = torch.rand(size, generator=generator, device=device) * (length - widths + 1)
    starts = places.long()
    positions = torch.arange(length, device=device)
    return ((positions >= starts) & (positions < starts + widths)).any(1)
