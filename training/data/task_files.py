r"""Tasks in files of the user.

JSON, which has every field::

    {"name": "mood", "multilabel": true,
     "classes": ["calm", "happy"],
     "tracks": {"id-1": ["happy"], "id-2": ["happy", "calm"], "id-3": []},
     "splits": {"id-1": "train", "id-2": "validation", "id-3": "test"}}

`classes` may be missing: they are then those that tracks have, sorted. So may `splits`: the task is
then evaluated in folds.

CSV with a header; classes of a track are separated by `|`, `split` may be missing, the file's name
is the task's, and the task is multi-label if any track has other than one class::

    track_id,classes,split
    id-1,happy,train
    id-2,calm|happy,validation
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from auricle.errors import TrainingError, describe_invalid
from auricle.models.files import write_atomically
from auricle.training.data.manifest import Part
from auricle.training.data.tasks import Task


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    multilabel: bool
    classes: tuple[str, ...] | None = None
    tracks: dict[str, tuple[str, ...]]
    splits: dict[str, Part] = {}


def load_task(file: Path) -> Task:
    """Read a task, JSON or (if the name ends in .csv) CSV.

    Raises:
        TrainingError: The file does not exist or is not a task.
    """
    try:
        if file.suffix.lower() == ".csv":
            content = _File.model_validate(_csv(file))
        else:
            content = _File.model_validate_json(file.read_bytes())
    except ValidationError as error:
        what = describe_invalid(error, model=_File, noun="field")
        raise TrainingError(f"{file}: {what}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{file}: cannot be read: {error}") from error
    found = sorted({name for names in content.tracks.values() for name in names})
    classes = found if content.classes is None else list(content.classes)
    unknown = sorted(set(found) - set(classes))
    if unknown or not classes:
        what = f"class {unknown[0]!r} is not in 'classes'" if unknown else "no track has a class"
        raise TrainingError(f"{file}: {what}")
    index = {name: column for column, name in enumerate(classes)}
    targets = {
        track_id: tuple(sorted(set(map(index.__getitem__, names))))
        for track_id, names in content.tracks.items()
    }
    return Task(content.name, tuple(classes), targets, content.multilabel, content.splits)


def save_task(task: Task, file: Path) -> None:
    """Write a task as JSON.

    Raises:
        OSError: It cannot be written.
    """
    tracks = {
        track_id: list(map(task.classes.__getitem__, target))
        for track_id, target in task.targets.items()
    }
    content = {"name": task.name, "multilabel": task.multilabel, "classes": task.classes}
    content |= {"tracks": tracks, "splits": dict(task.parts)}
    write_atomically(file, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def _csv(file: Path) -> dict[str, Any]:
    tracks: dict[str, list[str]] = {}
    splits = {}
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        columns = reader.fieldnames or []
        if not {"track_id", "classes"} <= set(columns):
            raise TrainingError(
                f"{file}: columns are {', '.join(columns)}; must be track_id,classes[,split]"
            )
        for row in reader:
            track_id = row["track_id"]
            if track_id in tracks or row["classes"] is None:
                what = "is there twice" if track_id in tracks else "has no classes"
                raise TrainingError(f"{file}:{reader.line_num}: track {track_id!r} {what}")
            tracks[track_id] = [name.strip() for name in row["classes"].split("|") if name.strip()]
            if row.get("split"):
                splits[track_id] = row["split"]
    multilabel = any(len(names) != 1 for names in tracks.values())
    return {"name": file.stem, "multilabel": multilabel, "tracks": tracks, "splits": splits}
