"""`auricle-train evaluate`."""

import json
from pathlib import Path

import click
import numpy as np
import pytest

pytest.importorskip("torch", reason="heads are trained with torch")
pytest.importorskip("pyarrow", reason="manifests are Parquet")
pytest.importorskip("faiss", reason="search is faiss'")
pytest.importorskip("matplotlib", reason="plots are matplotlib's")

from auricle.training.commands.evaluate import RETRIEVAL, evaluate
from auricle.training.data.manifest import Manifest
from auricle.training.data.teacher_tasks import OPPOSITES
from auricle.training.evaluation.comparison import retrieval_results
from tests.training.clusters import corpus
from tests.training.commands.stored import Stored, command, write

MANIFEST, STORE = corpus()
NOISE = {
    t: np.random.default_rng(n).normal(size=rows.shape) for n, (t, rows) in enumerate(STORE.items())
}
CLASSES = ("--min-tracks", "10", "--min-artists", "3")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    MANIFEST.save(tmp_path / "corpus.parquet")
    again = corpus(noise=0.4)[1]
    less = {t: rows for t, rows in STORE.items() if t != "8-5"}
    write(
        Stored(tmp_path / "good", STORE),
        Stored(tmp_path / "good-2", again),
        Stored(tmp_path / "noise", NOISE),
        Stored(tmp_path / "noise-2", NOISE),
        Stored(tmp_path / "less", less),
    )
    return tmp_path


def test_a_comparison(folder: Path) -> None:
    result = command(
        *("evaluate", folder / "corpus.parquet", "--out", folder / "results", "--seeds", "1"),
        f"clusters={folder}/good,{folder}/good-2",
        f"noise={folder}/noise,{folder}/noise-2",
        *CLASSES,
    )
    assert result.exit_code == 0, result.stderr
    rows = json.loads((folder / "results" / "results.json").read_text())
    found = {(row["task"], row["model"], row["metric"]): row for row in rows}
    for task, metric in (
        ("genres", "roc_auc"),
        ("artist-retrieval", "mAP"),
        ("release-retrieval", "mAP"),
    ):
        good, noise = found[task, "clusters", metric], found[task, "noise", metric]
        assert good["mean"] > noise["mean"] + 0.1
        assert len(good["values"]) == len(noise["values"]) == 2
        assert good["deviation"] is not None
    table = (folder / "results" / "results.md").read_text()
    assert table.strip() in result.stdout
    assert "| clusters |" in table
    assert (folder / "results" / "results.png").stat().st_size
    assert not (folder / "results" / "learning-curves.png").exists()


def test_a_stack_reduced_and_learning_curves(folder: Path) -> None:
    result = command(
        *("evaluate", folder / "corpus.parquet", "--out", folder / "results", "--seeds", "1"),
        *(folder / "good", folder / "noise", "--tasks", "genres", "--stack", "--pca", "3"),
        *("--learning-curve", *CLASSES),
    )
    assert result.exit_code == 0, result.stderr
    rows = json.loads((folder / "results" / "results.json").read_text())
    assert {row["model"] for row in rows} == {"good", "noise", "stack"}
    curve = [
        row
        for row in rows
        if row["model"] == "stack" and row["examples"] and row["metric"] == "roc_auc"
    ]
    assert [row["examples"] for row in curve] == [1, 5, 10, 30]
    assert all(len(row["values"]) == 3 for row in curve)
    assert (folder / "results" / "learning-curves.png").stat().st_size


def test_songs_of_the_same_release_are_found_only_if_asked_for(folder: Path) -> None:
    figures = []
    for flags in ((), ("--same-release",)):
        result = command(
            *(
                "evaluate",
                folder / "corpus.parquet",
                folder / "good",
                "--tasks",
                "artist-retrieval",
            ),
            *("--out", folder / "results", *flags),
        )
        assert result.exit_code == 0, result.stderr
        rows = json.loads((folder / "results" / "results.json").read_text())
        figures.append({row["metric"]: row["mean"] for row in rows})
    # 6 tracks an artist, 3 a release: of 5 relevant tracks, 3 are on the other release.
    assert figures[0]["recall@1"] > figures[1]["recall@1"]


@pytest.mark.parametrize("part", ["test", "all"])
def test_retrieval_searches_one_part(folder: Path, part: str) -> None:
    result = command(
        *("evaluate", folder / "corpus.parquet", folder / "good", "--tasks", "release-retrieval"),
        *("--out", folder / "results", "--part", part),
    )
    assert result.exit_code == 0, result.stderr
    tracks = [track for track in MANIFEST if part in ("all", track.part)]
    ids, releases = [t.track_id for t in tracks], {t.track_id: t.releases for t in tracks}
    expected = retrieval_results("release-retrieval", "good", [STORE], ids, releases)
    rows = json.loads((folder / "results" / "results.json").read_text())
    assert [row["mean"] for row in rows] == [result.mean for result in expected]


def test_folds_of_one_part_know_nothing_of_others(tmp_path: Path) -> None:
    manifest, store = corpus(artists=36)
    manifest.save(tmp_path / "corpus.parquet")
    held = {track.track_id for track in manifest if track.part == "test"}
    other = {name: rows if name in held else -rows for name, rows in store.items()}
    write(Stored(tmp_path / "one", store), Stored(tmp_path / "other", other))
    means = {}
    for part in ("test", "all"):
        result = command(
            *(
                "evaluate",
                tmp_path / "corpus.parquet",
                tmp_path / "one",
                tmp_path / "other",
                *CLASSES,
            ),
            *(
                "--tasks",
                "genres",
                "--folds",
                "3",
                "--seeds",
                "1",
                "--out",
                tmp_path / part,
                "--part",
                part,
            ),
        )
        assert result.exit_code == 0, result.stderr
        rows = json.loads((tmp_path / part / "results.json").read_text())
        means[part] = [
            {row["metric"]: row["mean"] for row in rows if row["model"] == name}
            for name in ("one", "other")
        ]
    assert means["test"][0] == means["test"][1]
    assert means["all"][0] != means["all"][1]


def test_tracks_that_a_model_lacks_are_taken_from_all(folder: Path) -> None:
    result = command(
        *(
            "evaluate",
            folder / "corpus.parquet",
            folder / "good",
            folder / "less",
            "--out",
            folder / "r",
        ),
        *("--tasks", "release-retrieval", "--part", "all"),
    )
    assert result.exit_code == 3
    assert "less: no embeddings of 1 of 54 tracks of the manifest, first '8-5'" in result.stderr
    rows = json.loads((folder / "r" / "results.json").read_text())
    means = {row["model"]: row["mean"] for row in rows if row["metric"] == "mAP"}
    assert means["good"] == means["less"]


def test_a_part_without_tracks(folder: Path) -> None:
    Manifest(track for track in MANIFEST if track.part != "test").save(folder / "corpus.parquet")
    result = command(
        *("evaluate", folder / "corpus.parquet", folder / "good", "--tasks", "artist-retrieval"),
        *("--out", folder / "r"),
    )
    assert result.exit_code == 1
    said = (
        "corpus.parquet: no track in the part 'test' has embeddings by all models; "
        "choose another --part\n"
    )
    assert result.stderr.endswith(said)
    assert result.stderr.count("\n") == 1


def test_the_help_has_all_tasks() -> None:
    (option,) = (each for each in evaluate.params if each.name == "tasks")
    assert isinstance(option, click.Option)
    said = option.help
    assert said is not None
    for name in ("genres", "artists", *OPPOSITES, *RETRIEVAL):
        assert name in said, name


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("good", "good"), 1, "two models are called 'good'; give names: NAME=OUTPUTS"),
        (("good", "--stack"), 1, "a stack takes two models"),
        (("good", "--pca", "3"), 2, "give --stack too"),
        (("=good",), 2, "must be [NAME=]OUTPUTS"),
        (("good", "--tasks", "genres,polka"), 1, "no task 'polka'"),
        (("good", "--tasks", "genres", "--min-artists", "4"), 1, "genres: none of 3 genres"),
    ],
)
def test_bad_input(folder: Path, arguments: tuple[str, ...], code: int, named: str) -> None:
    paths = [str(folder / a) if a == "good" else a for a in arguments]
    result = command(
        "evaluate",
        folder / "corpus.parquet",
        "--min-tracks",
        "1",
        "--min-artists",
        "1",
        *paths,
        *("--out", folder / "r"),
    )
    assert result.exit_code == code
    assert named in result.stderr
    assert not (folder / "r").exists()
