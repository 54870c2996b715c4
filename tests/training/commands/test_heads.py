"""`auricle-train heads`."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="heads are trained with torch")
pytest.importorskip("pyarrow", reason="manifests are Parquet")

from auricle.models.heads.head import load_head
from auricle.training.data.manifest_tasks import genre_task
from auricle.training.data.task_files import save_task
from tests.training.clusters import GENRES, corpus
from tests.training.commands.stored import Stored, command, write

MANIFEST, STORE = corpus()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    MANIFEST.save(tmp_path / "corpus.parquet")
    return tmp_path


def test_a_head_of_genres(folder: Path) -> None:
    write(Stored(folder / "student", STORE))
    result = command(
        *(
            "heads",
            folder / "student",
            folder / "corpus.parquet",
            "--task",
            "genres",
            "--folds",
            "3",
        ),
        *("--min-artists", "3", "--min-tracks", "18", "--out", folder / "genres", "--seeds", "2"),
    )
    assert result.exit_code == 0, result.stderr
    assert "54 tracks, 3 classes, 6 runs" in result.stdout
    assert "ROC-AUC" in result.stdout
    assert "±" in result.stdout
    assert result.stderr == ""
    head = load_head(folder / "genres")
    assert head.labels == GENRES
    assert head.card.name == "genres"
    assert head.card.dataset is not None
    assert head.card.dataset["metrics"]["roc_auc"]["mean"] > 0.9
    means = np.stack([STORE[t].mean(axis=0, dtype=np.float32) for t in STORE])
    truth = [GENRES.index(track.genres[0]) for track in MANIFEST]
    assert np.mean(head(means).argmax(axis=1) == truth) > 0.9


def test_tracks_that_were_not_heard_are_counted_and_named(folder: Path) -> None:
    less = {
        t: rows[:0] if t == "2-1" else rows for t, rows in STORE.items() if t not in ("0-3", "5-0")
    }
    write(Stored(folder / "student", less))
    result = command(
        *(
            "heads",
            folder / "student",
            folder / "corpus.parquet",
            "--task",
            "genres",
            "--folds",
            "0",
        ),
        *(
            "--min-artists",
            "3",
            "--min-tracks",
            "15",
            "--protocol",
            "thesis",
            "--out",
            folder / "g",
        ),
    )
    assert result.exit_code == 3
    assert result.stderr.splitlines() == [
        f"{folder}/student: no embeddings of 3 of 54 tracks of the manifest, first '0-3'"
    ]
    assert (folder / "g" / "card.json").exists()
    assert "±" not in result.stdout


def test_vocal_by_two_teachers(folder: Path) -> None:
    rock = {track.track_id: track.genres == ("rock",) for track in MANIFEST}
    first = {t: np.array([[0.5, 0.1] if sung else [0.1, 0.5]]) for t, sung in rock.items()}
    second = {
        t: np.array([[0.1, 0.6] if sung else [0.5, 0.1]]) for t, sung in rock.items() if t != "0-0"
    }
    write(
        Stored(folder / "student", STORE),
        Stored(folder / "mtt", {}, ("vocals", "no vocals"), first),
        Stored(folder / "msd", {}, ("instrumental", "female vocalists"), second),
    )
    arguments = (
        "heads",
        folder / "student",
        folder / "corpus.parquet",
        "--task",
        "vocal",
        "--folds",
        "3",
    )
    both = ("--teacher", folder / "mtt", "--teacher", folder / "msd")
    result = command(*arguments, *both, "--out", folder / "vocal")
    assert result.exit_code == 0, result.stderr
    assert "53 tracks, 2 classes" in result.stdout
    assert load_head(folder / "vocal").labels == ("instrumental", "vocal")

    result = command(*arguments, *both, "--out", folder / "v", "--margin", "0.6")
    assert (result.exit_code, (folder / "v").exists()) == (1, False)
    assert (
        "teachers agree on 0 instrumental, 0 vocal of 54 tracks, with a margin of 0.6"
        in result.stderr
    )
    result = command(*arguments, "--out", folder / "v")
    assert result.exit_code == 1
    assert "--teacher" in result.stderr


def test_a_task_file(folder: Path) -> None:
    write(Stored(folder / "student", STORE))
    save_task(genre_task(MANIFEST, min_tracks=1, min_artists=1), folder / "mine.json")
    arguments = ("heads", folder / "student", folder / "corpus.parquet", "--out", folder / "mine")
    result = command(*arguments, "--task", folder / "mine.json", "--folds", "0")
    assert result.exit_code == 0, result.stderr
    assert load_head(folder / "mine").labels == GENRES


def test_artists_are_classified_in_folds_that_have_them_all(folder: Path) -> None:
    write(Stored(folder / "student", STORE))
    arguments = ("--task", "artists", "--min-tracks", "6", "--folds", "3", "--out", folder / "out")
    result = command("heads", folder / "student", folder / "corpus.parquet", *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""  # no class is left out
    assert len(load_head(folder / "out").labels) == 9


def test_a_task_of_another_corpus(folder: Path) -> None:
    write(Stored(folder / "student", STORE))
    (folder / "mine.csv").write_text("track_id,classes\nother,a\nanother,b\n")
    arguments = ("--task", folder / "mine.csv", "--out", folder / "mine")
    result = command("heads", folder / "student", folder / "corpus.parquet", *arguments)
    assert result.exit_code == 1
    assert "mine: none of its 2 tracks is there" in result.stderr


def test_a_class_without_positives_in_a_part_is_said(folder: Path) -> None:
    write(Stored(folder / "student", STORE))
    lines = [f"{t.track_id},{'|'.join(t.genres)},{t.part}" for t in MANIFEST]
    lines = [
        line + "\n" if "train" not in line else line.replace("jazz", "") + "\n" for line in lines
    ]
    (folder / "mine.csv").write_text("track_id,classes,split\n" + "".join(lines))
    arguments = ("heads", folder / "student", folder / "corpus.parquet", "--out", folder / "mine")
    result = command(*arguments, "--task", folder / "mine.csv", "--folds", "0")
    assert result.exit_code == 0
    assert result.stderr.startswith("left out of the means")
    assert result.stderr.rstrip().endswith(": jazz")


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (
            ("--task", "polka"),
            1,
            "no task 'polka'; tasks are genres, artists, vocal, electronic, energy, and files",
        ),
        (
            ("--task", "genres"),
            1,
            "genres: none of 3 genres of 54 tracks has 20 tracks of 5 artists",
        ),
        (("--task", "artists", "--min-tracks", "6", "--folds", "0"), 1, "give --folds 5"),
        (("--task", "artists", "--min-tracks", "7"), 1, "artists: 0 of 9 have 7 tracks; two must"),
        (
            ("--task", "genres", "--min-tracks", "1", "--min-artists", "1", "--folds", "99"),
            1,
            "99 folds of 9 groups",
        ),
        (("--task", "genres", "--name", "a b"), 2, "must be letters, digits"),
    ],
)
def test_bad_input(folder: Path, arguments: tuple[str, ...], code: int, named: str) -> None:
    write(Stored(folder / "student", STORE))
    result = command(
        "heads", folder / "student", folder / "corpus.parquet", "--out", folder / "g", *arguments
    )
    assert result.exit_code == code
    assert named in result.stderr
    assert code == 2 or len(result.stderr.splitlines()) == 1
    assert not (folder / "g").exists()


def test_outputs_of_another_corpus(folder: Path) -> None:
    write(Stored(folder / "student", {"other": np.zeros((1, 4))}))
    result = command(
        *("heads", folder / "student", folder / "corpus.parquet", "--task", "genres"),
        *("--out", folder / "g"),
    )
    assert result.exit_code == 1
    assert "no embeddings of 54 of 54 tracks of the manifest, first '0-0'" in result.stderr
