"""Tasks that teachers agree on."""

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="auricle.training.data.manifest reads Parquet")

from auricle.errors import TrainingError
from auricle.training.data.teacher_tasks import VOCAL, Teacher, opposites_task

MTT = ("guitar", "vocal", "No Vocals", "singing")
MSD = ("female vocalists", "instrumental")


def teacher(name: str, classes: tuple[str, ...], **tracks: list[list[float]]) -> Teacher:
    return Teacher(
        name, classes, {track_id: np.array(rows, np.float16) for track_id, rows in tracks.items()}
    )


FIRST = teacher(
    "mtt",
    MTT,
    sung=[[0.9, 0.1, 0.0, 0.6], [0.9, 0.1, 0.0, 0.4]],  # singing .5 against 0
    played=[[0, 0.0, 0.3, 0.1]],
    unclear=[[0, 0.2, 0.25, 0.1]],  # less than .1 apart
    disputed=[[0, 0.5, 0.0, 0.0]],
    alone=[[0, 0.9, 0.0, 0.0]],
    mixed=[[0, 0.9, 0.0, 0.0], [0, 0.0, 0.9, 0.0]],  # means are equal
)
SECOND = teacher(
    "msd",
    MSD,
    played=[[0.1, 0.4]],
    sung=[[0.3, 0.1]],
    unclear=[[0.0, 0.9]],
    disputed=[[0.0, 0.9]],
    mixed=[[0.9, 0.0]],
)


def test_all_must_say_the_same_clearly() -> None:
    task = opposites_task("vocal", [FIRST, SECOND], VOCAL)
    assert task.classes == ("instrumental", "vocal")
    assert task.targets == {"sung": (1,), "played": (0,)}


def test_the_margin() -> None:
    assert "unclear" in opposites_task("vocal", [FIRST, SECOND], VOCAL, margin=0.04).targets
    with pytest.raises(TrainingError, match="0 instrumental, 1 vocal of 6 tracks"):
        opposites_task("vocal", [FIRST], {**VOCAL, "vocal": ("singing",)}, margin=0.45)


def test_a_teacher_that_cannot_vote() -> None:
    deaf = teacher("drums", ("snare", "vocal"), sung=[[0, 1]])
    with pytest.raises(
        TrainingError, match="drums has no class for 'instrumental': instrumental, no vocals"
    ):
        opposites_task("vocal", [FIRST, deaf], VOCAL)


def test_no_teacher() -> None:
    with pytest.raises(TrainingError, match="2 sides and 0 teachers"):
        opposites_task("vocal", [], VOCAL)
