"""`auricle-train cross`."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="heads are trained with torch")
pytest.importorskip("pyarrow", reason="manifests are Parquet")

from auricle.training.data.task_files import save_task
from auricle.training.data.tasks import Task
from tests.training.clusters import GENRES, corpus, single
from tests.training.commands.stored import Stored, command, write

MANIFEST, STORE = corpus()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two collections, of one model: the second is the first under other names."""
    (tmp_path / "other").mkdir()
    write(Stored(tmp_path / "model", STORE), Stored(tmp_path / "other" / "model", STORE))
    task = single(MANIFEST)
    save_task(task, tmp_path / "first.json")
    renamed = Task(
        "second", tuple(f"{name} music" for name in GENRES), task.targets, multilabel=False
    )
    save_task(renamed, tmp_path / "second.json")
    return tmp_path


def cross(folder: Path, *options: str) -> list[str | Path]:
    first, second = (
        (folder / "model", folder / "first.json"),
        (folder / "other/model", folder / "second.json"),
    )
    return ["cross", *first, *second, "--seeds", "2", *options]


def test_classes_that_are_the_same_by_other_names(folder: Path) -> None:
    same = [word for name in GENRES[:2] for word in ("--same", f"{name} music={name}")]
    result = command(*cross(folder, *same))
    assert result.exit_code == 0, result.stderr
    assert "### second" in result.stdout
    assert "model, trained on" in result.stdout
    row = next(line for line in result.stdout.splitlines() if line.startswith("| model, "))
    assert float(row.split("|")[2].split("±")[0]) > 0.9


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        ((), 1, "genre and second have no class in common; say which with --same"),
        (("--same", "polka=rock"), 1, "second: no class 'polka'"),
        (("--same", "rock"), 2, "--same rock: must be OTHER=CLASS"),
    ],
)
def test_bad_input(folder: Path, options: tuple[str, ...], code: int, named: str) -> None:
    result = command(*cross(folder, *options))
    assert result.exit_code == code
    assert named in result.stderr


def test_two_models_are_not_compared(folder: Path) -> None:
    write(Stored(folder / "another", STORE))
    arguments = cross(folder)
    arguments[3] = folder / "another"
    result = command(*arguments)
    assert result.exit_code == 1
    assert "of another, the others of model" in result.stderr
