"""Classification tasks: classes, the classes of each track, and the part each track is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError
from auricle.training.data.manifest import Part


@dataclass(frozen=True, slots=True)
class Task:
    """A classification task over tracks.

    Attributes:
        name: Name of the task.
        classes: Names of the classes, in the order of the columns. Orders differ between sources of
            the same data set, so names always travel with the columns.
        targets: Indices of the classes of each track; exactly one unless `multilabel`.
        multilabel: Whether a track can have several classes, or none.
        parts: The part each track is in; empty if the task is evaluated in folds.
    """

    name: str
    classes: tuple[str, ...]
    targets: Mapping[str, tuple[int, ...]]
    multilabel: bool
    parts: Mapping[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes):
            raise TrainingError(f"{self.name}: a class is named twice")
        for track_id, target in self.targets.items():
            if any(not 0 <= index < len(self.classes) for index in target):
                raise TrainingError(
                    f"{self.name}: {track_id}: classes {target} of {len(self.classes)}"
                )
            if not self.multilabel and len(target) != 1:
                raise TrainingError(f"{self.name}: {track_id}: {len(target)} classes, must be one")

    def tracks(self, part: Part) -> list[str]:
        """Ids of the tracks of one part."""
        return [track_id for track_id in self.targets if self.parts.get(track_id) == part]

    def matrix(self, track_ids: list[str]) -> NDArray[np.bool_]:
        """Which track has which class, (tracks, classes) boolean."""
        matrix = np.zeros((len(track_ids), len(self.classes)), bool)
        for row, track_id in enumerate(track_ids):
            matrix[row, list(self.targets[track_id])] = True
        return matrix
