"""How closely a student follows its teachers, on the same segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError
from auricle.training.data.outputs import Outputs, joint_classes
from auricle.training.data.store import Rows, missing
from auricle.training.evaluation.metrics import Agreement, agreement

ALL: Final = "all together"


def agreements(
    student: Outputs,
    teachers: Sequence[Outputs],
    track_ids: Sequence[str],
    least_prevalence: float = 0.01,
) -> dict[str, Agreement]:
    """The agreement with each teacher, by the name of its model, and with `ALL` of them.

    Args:
        student: Outputs of the student, (segments, classes) by track; its classes are those of all
            teachers, as `auricle.training.data.outputs.joint_classes` names them.
        teachers: Outputs of the teachers, in any order.
        track_ids: Names of the tracks to compare them on.
        least_prevalence: See `auricle.training.evaluation.metrics.agreement`.

    Raises:
        TrainingError: Outputs are of other segments, tracks or classes.
    """
    classes = joint_classes(teachers)
    if set(classes) - set(student.card.classes):
        lacking = next(name for name in classes if name not in student.card.classes)
        raise TrainingError(f"{student.folder}: {student.card.name} has no class {lacking!r}")
    for each in (student, *teachers):
        missing(each.activations, track_ids, each.folder)
        if (each.hop_size, each.segment_size) != (student.hop_size, student.segment_size):
            raise TrainingError(
                f"{each.folder}: segments of {each.segment_size} frames, {each.hop_size} apart; "
                f"{student.folder} has {student.segment_size} and {student.hop_size}"
            )
    columns = [student.card.classes.index(name) for name in classes]
    learned = _rows(student.activations, track_ids)[:, columns]
    taught = np.concatenate([_rows(teacher.activations, track_ids) for teacher in teachers], axis=1)
    found, start = {}, 0
    for teacher in teachers:
        own = slice(start, start + len(teacher.card.classes))
        found[teacher.card.name] = agreement(
            taught[:, own], learned[:, own], classes[own], least_prevalence
        )
        start = own.stop
    found[ALL] = agreement(taught, learned, classes, least_prevalence)
    return found


def _rows(of: Mapping[str, Rows], track_ids: Sequence[str]) -> NDArray[Any]:
    return np.concatenate([of[track_id] for track_id in track_ids]).astype(np.float32)
