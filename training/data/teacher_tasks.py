"""Tasks that teachers agree on: which of two opposites a track is, without tags that say it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError
from auricle.training.data.tasks import Task


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model and its activations (segments, classes) by track id."""

    name: str
    classes: tuple[str, ...]
    activations: Mapping[str, NDArray[Any]]


VOCAL: Final[Mapping[str, Collection[str]]] = {
    "instrumental": ("instrumental", "no vocals", "no vocal", "no voice"),
    "vocal": (
        *(
            "vocal",
            "vocals",
            "voice",
            "singing",
            "male vocal",
            "female vocal",
            "male voice",
            "female voice",
        ),
        *("male vocals", "female vocals", "male vocalist", "female vocalist"),
        *("male vocalists", "female vocalists"),
    ),
}
ELECTRONIC: Final[Mapping[str, Collection[str]]] = {
    "acoustic": (
        *(
            "acoustic",
            "blues",
            "cello",
            "choir",
            "choral",
            "classic",
            "classical",
            "country",
            "flute",
        ),
        *(
            "folk",
            "guitar",
            "harp",
            "harpsichord",
            "jazz",
            "opera",
            "piano",
            "sitar",
            "strings",
            "violin",
        ),
    ),
    "electronic": (
        "beats",
        "dance",
        "electro",
        "electronic",
        "electronica",
        "house",
        "synth",
        "techno",
    ),
}

ENERGY: Final[Mapping[str, Collection[str]]] = {
    "calm": (
        *(
            "ambient",
            "beautiful",
            "chill",
            "chillout",
            "easy listening",
            "mellow",
            "new age",
            "quiet",
        ),
        *("sad", "slow", "soft"),
    ),
    "energetic": (
        *(
            "beat",
            "beats",
            "dance",
            "drums",
            "fast",
            "hard rock",
            "heavy metal",
            "hip-hop",
            "house",
            "loud",
        ),
        *("metal", "party", "punk", "rock", "techno"),
    ),
}

OPPOSITES: Final = {"vocal": VOCAL, "electronic": ELECTRONIC, "energy": ENERGY}
"""Tasks by name. Names of classes are those of MagnaTagATune and the Million Song Dataset."""


def opposites_task(
    name: str,
    teachers: Sequence[Teacher],
    sides: Mapping[str, Collection[str]],
    *,
    margin: float = 0.1,
) -> Task:
    """Tracks that all teachers clearly place on the same of two sides.

    A teacher compares a track's mean activations of the strongest class of each side. If one side's
    exceeds the other's by `margin`, that is its vote. A track is in the task if all teachers vote
    the same. The criterion is a difference and not a level, because teachers trained on rare tags
    seldom come near 1.

    Args:
        name: Name of the task.
        teachers: One or more; the tracks of the task have activations by all of them.
        sides: Two sides, each with the classes that stand for it, in lower case. A teacher needs at
            least one class of each.
        margin: Least difference between the sides, from 0 to 1.

    Raises:
        TrainingError: A teacher cannot vote, or all that agree vote for one side.
    """
    if len(sides) != 2 or not teachers:
        raise TrainingError(
            f"{name}: {len(sides)} sides and {len(teachers)} teachers; it takes 2 and at least 1"
        )
    columns = [_columns(name, teacher, sides) for teacher in teachers]
    targets = {}
    for track_id in teachers[0].activations:
        if all(track_id in teacher.activations for teacher in teachers):
            votes = {
                _vote(teacher.activations[track_id], of_sides, margin)
                for teacher, of_sides in zip(teachers, columns, strict=True)
            }
            if len(votes) == 1 and None not in votes:
                targets[track_id] = (int(votes.pop() or 0),)
    counts = np.bincount([target[0] for target in targets.values()], minlength=2)
    if not counts.all():
        found = ", ".join(f"{count} {side}" for side, count in zip(sides, counts, strict=True))
        of = f"of {len(teachers[0].activations)} tracks, with a margin of {margin}"
        raise TrainingError(f"{name}: teachers agree on {found} {of}; both sides need tracks")
    return Task(name, tuple(sides), targets, multilabel=False)


def _columns(name: str, teacher: Teacher, sides: Mapping[str, Collection[str]]) -> list[list[int]]:
    found = []
    for side, classes in sides.items():
        columns = [i for i, label in enumerate(teacher.classes) if label.casefold() in classes]
        if not columns:
            raise TrainingError(
                f"{name}: {teacher.name} has no class for {side!r}: {', '.join(classes)}"
            )
        found.append(columns)
    return found


def _vote(activations: NDArray[Any], columns: list[list[int]], margin: float) -> int | None:
    means = activations.mean(axis=0, dtype=np.float64)
    first, second = (means[of_side].max() for of_side in columns)
    if abs(second - first) < margin:
        return None
    return int(second > first)
