"""Folders that appear whole or not at all."""

from pathlib import Path

import pytest

from auricle.models.files import new_folder


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_new_folder_that_fails_keeps_the_old_one(tmp_path: Path) -> None:
    with new_folder(tmp_path / "model") as folder:
        (folder / "a").write_text("old")

    def fail_halfway() -> None:
        with new_folder(tmp_path / "model") as folder:
            (folder / "a").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert files_below(tmp_path) == {"model", "model/a"}
    assert (tmp_path / "model/a").read_text() == "old"
