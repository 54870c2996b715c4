"""`auricle-train agree`."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="batches, which know the order of classes, are tensors")
pytest.importorskip("pyarrow", reason="manifests are Parquet")

from auricle.training.data.manifest import Manifest, Track
from tests.training.commands.stored import Stored, command, write

# Of two tracks, a segment a row. The first teacher's second class is too rare to count.
FIRST = {"a": [[0.1, 0.0, 0.3], [0.2, 0.0, 0.9]], "b": [[0.4, 0.001, 0.5], [0.5, 0.0, 0.1]]}
SECOND = {"a": [[0.9], [0.8]], "b": [[0.7], [0.6]]}
CLASSES = ("rock", "polka", "piano"), ("rock",)
SIDE_BY_SIDE = ("rock", "polka", "piano", "rock (msd)")


def stored(
    folder: Path, classes: tuple[str, ...], rows: dict[str, list[list[float]]], hop: int = 62
) -> Stored:
    activations = {track_id: np.array(values, np.float32) for track_id, values in rows.items()}
    return Stored(folder, {}, classes, activations, hop)


def joined(*columns: tuple[int, float]) -> dict[str, list[list[float]]]:
    """Both teachers' rows, with some columns changed to `sign * value`."""
    rows = {
        track_id: [one + two for one, two in zip(FIRST[track_id], SECOND[track_id], strict=True)]
        for track_id in FIRST
    }
    for column, sign in columns:
        for values in rows.values():
            for row in values:
                row[column] = 0.5 + sign * row[column] / 2
    return rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tracks = [Track(name, Path(f"{name}.flac"), 6.0, part="test") for name in FIRST]
    Manifest([*tracks, Track("c", Path("c.flac"), 6.0)]).save(tmp_path / "corpus.parquet")
    write(stored(tmp_path / "mtt", CLASSES[0], FIRST), stored(tmp_path / "msd", CLASSES[1], SECOND))
    return tmp_path


def agree(folder: Path, *options: str) -> list[str | Path]:
    return [
        "agree",
        folder / "corpus.parquet",
        folder / "student",
        folder / "mtt",
        folder / "msd",
        *options,
    ]


def rows_of(table: str) -> dict[str, list[str]]:
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if "|" in line
    ]
    return {row[0]: row[1:] for row in cells}


def test_a_student_that_says_the_same(folder: Path) -> None:
    write(stored(folder / "student", SIDE_BY_SIDE, joined()))
    result = command(*agree(folder, "--tags"))
    assert result.exit_code == 0, result.stderr
    rows = rows_of(result.stdout)
    assert rows["mtt"] == ["1.000", "2 of 3", "100.0%"]
    assert rows["msd"] == ["1.000", "1 of 1", "100.0%"]
    assert rows["all together"] == ["1.000", "3 of 4", "100.0%"]
    assert "polka" not in rows


def test_a_student_that_says_the_opposite_of_one_class(folder: Path) -> None:
    write(stored(folder / "student", SIDE_BY_SIDE, joined((2, -1))))
    rows = rows_of(command(*agree(folder)).stdout)
    # Of mtt, rock is followed and piano is turned round.
    assert rows["mtt"][0] == "0.000"
    assert rows["piano"] == ["mtt", "-1.000"]
    # Its strongest were piano, piano, piano, rock; now they are piano, rock, rock, rock.
    assert rows["mtt"][2] == "50.0%"
    assert rows["msd"][0] == "1.000"


def test_columns_go_by_name(folder: Path) -> None:
    turned = {track_id: [row[::-1] for row in rows] for track_id, rows in joined().items()}
    write(stored(folder / "student", SIDE_BY_SIDE[::-1], turned))
    assert rows_of(command(*agree(folder)).stdout)["all together"][0] == "1.000"


@pytest.mark.parametrize(
    ("classes", "hop", "named"),
    [
        (
            ("rock", "polka", "piano", "rock (mtt)"),
            62,
            "student: student has no class 'rock (msd)'",
        ),
        (SIDE_BY_SIDE, 31, "mtt: segments of 125 frames, 62 apart; "),
    ],
)
def test_students_of_others(folder: Path, classes: tuple[str, ...], hop: int, named: str) -> None:
    write(stored(folder / "student", classes, joined(), hop))
    result = command(*agree(folder))
    assert result.exit_code == 1
    assert named in result.stderr


def test_tracks_that_were_not_heard(folder: Path) -> None:
    write(stored(folder / "student", SIDE_BY_SIDE, joined()))
    result = command(*agree(folder, "--part", "train"))
    assert result.exit_code == 1
    assert "student: lacks 1 of 1 tracks, such as c" in result.stderr
    empty = command(*agree(folder, "--part", "validation"))
    assert empty.exit_code == 1
    assert empty.stderr.endswith("corpus.parquet: no track in the part 'validation'\n")
    assert empty.stderr.count("\n") == 1
