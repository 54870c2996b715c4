"""Tasks in files."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="auricle.training.data.manifest reads Parquet")

from auricle.errors import TrainingError
from auricle.training.data.task_files import load_task, save_task


def written(folder: Path, name: str, content: str) -> Path:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return file


def test_csv(tmp_path: Path) -> None:
    task = load_task(
        written(
            tmp_path,
            "mood.csv",
            "\ufefftrack_id,classes,split\na,happy,train\nb,calm|happy,test\nc,,\n",
        )
    )
    assert (task.name, task.classes, task.multilabel) == ("mood", ("calm", "happy"), True)
    assert task.targets == {"a": (1,), "b": (0, 1), "c": ()}
    assert task.parts == {"a": "train", "b": "test"}


def test_csv_with_one_class_a_track(tmp_path: Path) -> None:
    task = load_task(written(tmp_path, "x.CSV", "classes,track_id\nrock,a\njazz,b\n"))
    assert (task.classes, task.multilabel, task.targets) == (
        ("jazz", "rock"),
        False,
        {"a": (1,), "b": (0,)},
    )


def test_json_there_and_back(tmp_path: Path) -> None:
    content = {
        "name": "é",
        "multilabel": True,
        "classes": ["z", "a"],
        "tracks": {"1": ["a", "z"], "2": []},
    }
    task = load_task(written(tmp_path, "t.json", json.dumps(content)))
    assert task.targets == {"1": (0, 1), "2": ()}
    save_task(task, tmp_path / "again.json")
    assert load_task(tmp_path / "again.json") == task


GOOD: dict[str, Any] = {"name": "t", "multilabel": False, "tracks": {"1": ["a"]}}


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("t.json", "{", "invalid JSON"),
        ("t.json", json.dumps({**GOOD, "tracks": {"1": []}}), "no track has a class"),
        ("t.json", json.dumps({**GOOD, "tracks": {"1": ["a", "b"]}}), "1: 2 classes, must be one"),
        ("t.json", json.dumps({**GOOD, "classes": ["b"]}), "class 'a' is not in 'classes'"),
        (
            "t.json",
            json.dumps({**GOOD, "clases": ["a"]}),
            "(did you mean classes?)",
        ),
        (
            "t.json",
            json.dumps({**GOOD, "splits": {"1": "dev"}}),
            "splits.1='dev': input should be 'train'",
        ),
        ("t.csv", "id,classes\n1,a\n", "columns are id, classes; must be track_id,classes"),
        ("t.csv", "track_id,classes\n1,a\n1,b\n", ":3: track '1' is there twice"),
        ("t.csv", "track_id,classes\n1\n", ":2: track '1' has no classes"),
        ("t.csv", "", "columns are"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str, named: str) -> None:
    with pytest.raises(TrainingError) as caught:
        load_task(written(tmp_path, name, content))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"none\.json: cannot be read"):
        load_task(tmp_path / "none.json")
