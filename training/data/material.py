"""The material of a run: tracks, their mel frames, and the outputs of teachers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from auricle.errors import TrainingError
from auricle.training.data.manifest import Manifest, Part, Track
from auricle.training.data.outputs import Outputs
from auricle.training.data.store import Store

TRAINING_PARTS: Final[tuple[Part, ...]] = ("train", "validation")
"""Parts of a corpus that training reads."""


@dataclass(frozen=True, slots=True)
class Material:
    """Data that a run learns from.

    Attributes:
        manifest: The tracks; those without features are left out.
        features: Mel frames by track, (frames, bands) float16 each.
        teachers: Outputs of other models, for recipes that learn from them.
        name: Name of the corpus, for the cards of models; empty if it has none.
    """

    manifest: Manifest
    features: Store
    teachers: tuple[Outputs, ...] = ()
    name: str = ""

    def tracks(self, part: Part) -> list[Track]:
        """Tracks of a part that have features.

        Raises:
            TrainingError: The part has no tracks, or none with features.
        """
        listed = self.manifest.part(part)
        if not len(listed):
            raise TrainingError(f"the manifest has no track in the part {part!r}")
        found = [track for track in listed if track.track_id in self.features]
        if not found:
            raise TrainingError(
                f"{self.features.folder}: no features of a track in the part {part!r}"
            )
        return found
