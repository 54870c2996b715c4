"""Published data sets, in files of the form in which they are published."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from auricle.errors import TrainingError

pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'auricle[train]'")
pytest.importorskip("mutagen", reason="needs mutagen: pip install 'auricle[train]'")

import numpy as np

from auricle.training.data.datasets import fma, folders, gtzan, jamendo, magnatagatune
from tests.training.music import write_music

JAMENDO = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"

# The first two are rows of the published moods and themes.
TRAIN = (
    "track_0000948\tartist_000087\talbum_000149\t48/948.mp3\t212.7\tmood/theme---background\n"
    "track_0003524\tartist_000530\talbum_000552\t24/3524.mp3\t266.1\tmood/theme---melodic\tmood/theme---epic\n"
)
VALIDATION = "track_0036700\tartist_005119\talbum_004489\t00/36700.mp3\t126.8\tmood/theme---epic\n"
TEST = "track_0003525\tartist_000531\talbum_000553\t25/3525.mp3\t66.0\tmood/theme---background\n"


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def refused(call: Any, *arguments: Any, **options: Any) -> str:
    """The error, which is one line."""
    with pytest.raises(TrainingError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestJamendo:
    def tables(
        self, folder: Path, subset: str = "_moodtheme", split: int = 0, **parts: str
    ) -> Path:
        texts = {"train": TRAIN, "validation": VALIDATION, "test": TEST, **parts}
        for part, text in texts.items():
            name = f"data/splits/split-{split}/autotagging{subset}-{part}.tsv"
            write(folder / name, text if text.startswith(("TRACK", "#")) else JAMENDO + text)
        touch(folder / "audio/48/948.mp3", folder / "audio/24/3524.low.mp3")
        return folder

    def test_rows(self, tmp_path: Path) -> None:
        manifest, task = jamendo.read(self.tables(tmp_path), tmp_path / "audio", "moodtheme")
        assert task.classes == (
            "mood/theme---background",
            "mood/theme---epic",
            "mood/theme---melodic",
        )
        assert task.multilabel
        assert task.targets["track_0003524"] == (1, 2)
        assert [task.tracks(part) for part in ("train", "validation", "test")] == [
            ["track_0000948", "track_0003524"],
            ["track_0036700"],
            ["track_0003525"],
        ]
        first, second = manifest.tracks[:2]
        assert (first.artists, first.releases, first.duration_s) == (
            ("artist_000087",),
            ("album_000149",),
            212.7,
        )
        assert first.path == tmp_path / "audio/48/948.mp3"
        assert second.path == tmp_path / "audio/24/3524.low.mp3"
        assert [track.part for track in manifest] == ["train", "train", "validation", "test"]

    def test_genres_are_the_manifests_too(self, tmp_path: Path) -> None:
        row = TEST.replace(
            "mood/theme---background", "genre---rock\tinstrument---piano\tgenre---pop"
        )
        self.tables(tmp_path, "_top50tags", 4, test=row)
        manifest, task = jamendo.read(tmp_path / "data", tmp_path / "audio", "top50tags", 4)
        assert manifest.tracks[-1].genres == ("rock", "pop")
        assert task.name == "MTG-Jamendo top50tags, split 4"

    def test_all_tags(self, tmp_path: Path) -> None:
        assert len(jamendo.read(self.tables(tmp_path, ""), tmp_path / "audio", "all")[0]) == 4

    @pytest.mark.parametrize(
        ("test", "words"),
        [
            (TEST.replace("66.0", "long"), "line 2: DURATION 'long' must be a number"),
            (TEST + TEST, "line 3: track_0003525 is in test already"),
            (TRAIN, "line 2: track_0000948 is in train already"),
            (
                TEST.replace("---", "-"),
                "line 2: tag 'mood/theme-background' must be category---name",
            ),
            (
                TEST.replace("mood/theme", "mood"),
                "line 2: tag 'mood---background' must be category---name",
            ),
            (TEST[: TEST.rindex("\t")] + "\n", "line 2: 5 columns, must be at least 6"),
            ("TRACK\tTAGS\n", "line 1: header 'TRACK TAGS' must be 'TRACK_ID ARTIST_ID"),
        ],
    )
    def test_malformed(self, tmp_path: Path, test: str, words: str) -> None:
        self.tables(tmp_path, test=test)
        error = refused(jamendo.read, tmp_path, tmp_path / "audio", "moodtheme")
        assert "autotagging_moodtheme-test.tsv, " + words in error

    def test_missing_table(self, tmp_path: Path) -> None:
        self.tables(tmp_path)
        error = refused(jamendo.read, tmp_path, tmp_path / "audio", "moodtheme", 1)
        assert "split-1/autotagging_moodtheme-train.tsv: No such file" in error

    def test_choices(self, tmp_path: Path) -> None:
        assert "'mood' must be one of all, genre," in refused(
            jamendo.read, tmp_path, tmp_path, "mood"
        )
        assert "split 5 must be one of 0 to 4" in refused(jamendo.read, tmp_path, tmp_path, split=5)

    def test_wrong_audio_folder(self, tmp_path: Path) -> None:
        self.tables(tmp_path)
        error = refused(jamendo.read, tmp_path, tmp_path / "nowhere", "moodtheme")
        assert "none of 4 tracks is in there" in error


class TestMagnaTagATune:
    CLIPS = (
        (
            "2",
            "f/american_bach_soloists-j_s__bach_solo_cantatas-01-bwv54__i_aria-30-59.mp3",
            ("classical",),
        ),
        ("6", "0/a-b-c-0-29.mp3", ("guitar", "female voice", "no singer")),
        ("10", "c/d-e-f-0-29.mp3", ()),
        ("35644", "1/broken-0-29.mp3", ("guitar",)),
        ("11", "b/g-h-i-0-29.mp3", ("metal",)),
    )

    def table(self, folder: Path, *more: tuple[str, str, tuple[str, ...]]) -> Path:
        """Of 188 tags, the 50 and one other, in another order."""
        tags = sorted((*magnatagatune.TOP_50, "no singer"))
        path = folder / "annotations_final.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL)
            writer.writerow(["clip_id", *tags, "mp3_path"])
            for clip, place, found in (*self.CLIPS, *more):
                writer.writerow([clip, *("1" if tag in found else "0" for tag in tags), place])
        touch(folder / "audio/c/d-e-f-0-29.mp3")
        return path

    def test_rows(self, tmp_path: Path) -> None:
        self.table(tmp_path)
        manifest, task = magnatagatune.read(tmp_path, tmp_path / "audio")
        assert task.classes[:3] == ("guitar", "classical", "slow")
        assert len(task.classes) == 50
        assert {
            clip: [task.classes[index] for index in found] for clip, found in task.targets.items()
        } == {
            "2": ["classical"],
            "6": ["guitar", "female voice"],
            "10": [],
            "11": ["metal"],
        }
        splits = {track.track_id: track.part for track in manifest}
        assert (
            splits == task.parts == {"2": "test", "6": "train", "10": "validation", "11": "train"}
        )
        assert manifest.tracks[0].path == tmp_path / "audio" / self.CLIPS[0][1]
        np.testing.assert_array_equal(task.matrix(["10", "6"]).sum(1), [0, 2])

    def test_other_tags(self, tmp_path: Path) -> None:
        self.table(tmp_path)
        assert magnatagatune.read(tmp_path, tmp_path / "audio", ("no singer",))[1].targets["6"] == (
            0,
        )

    def test_order_is_that_of_musicnn(self) -> None:
        order = magnatagatune.TOP_50
        assert len(set(order)) == 50
        assert (order.index("metal"), order.index("female voice"), order[-1]) == (47, 48, "choral")

    def test_split_is_12_1_3(self) -> None:
        parts = list(magnatagatune.FOLDERS.values())
        assert [parts.count(part) for part in ("train", "validation", "test")] == [12, 1, 3]

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ('"f/american', '"american', "line 2: mp3_path 'american_bach"),
            ('"6"', '"2"', "line 3: clip_id 2 is listed twice"),
            ('"guitar"', '"guitars"', "line 1: 0 columns 'guitar' in the header, must be one"),
            ('"6"\t"0"', '"6"\t"yes"', "line 3: ambient 'yes' must be 0 or 1"),
            ('"10"\t"0"', '"10"', "line 4: 52 columns, the header has 53"),
            ('"10"\t"0"', '"10"\t"0"x', "line 4: '\\u0009' expected after '\"'"),
        ],
    )
    def test_malformed(self, tmp_path: Path, old: str, new: str, words: str) -> None:
        path = self.table(tmp_path)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        error = refused(magnatagatune.read, tmp_path, tmp_path / "audio")
        assert f"annotations_final.csv, {words}" in error

    def test_not_utf_8(self, tmp_path: Path) -> None:
        write(tmp_path / "annotations_final.csv", '"clip_id"\t"é"\n', "latin-1")
        assert "annotations_final.csv, line 1: 'utf-8'" in refused(
            magnatagatune.read, tmp_path, tmp_path
        )


class TestFma:
    HEADER = (
        ",album,album,artist,set,set,track,track,track,track,track\n"
        ",comments,title,name,split,subset,duration,genre_top,genres,license,title\n"
        "track_id,,,,,,,,,,\n"
    )
    ROWS = (
        "2,0,AWOL - A Way Of Life,AWOL,training,small,168,Hip-Hop,[21],"
        '"Attribution, NonCommercial",Food\n'
        '1482,2,"A ""B""\nC",X,validation,medium,20,Rock,"[12, 25]",L,"Two\nlines"\n'
        "98565,0,A,B,training,small,300,Rock,[12],L,T\n"
        "120000,0,,C,test,large,99,,[12],L,T\n"
        "5,0,A,AWOL,test,small,206,Hip-Hop,[21],L,This World\n"
    )

    def table(self, folder: Path, rows: str = ROWS, header: str = HEADER) -> Path:
        write(folder / "tracks.csv", header + rows)
        touch(folder / "audio/000/000002.mp3")
        return folder

    @pytest.mark.parametrize(
        ("subset", "ids"),
        [
            ("small", ["000002", "000005"]),
            ("medium", ["000002", "001482", "000005"]),
            ("large", ["000002", "001482", "120000", "000005"]),
        ],
    )
    def test_subsets_hold_those_before(
        self, tmp_path: Path, subset: fma.Subset, ids: list[str]
    ) -> None:
        manifest, task = fma.read(self.table(tmp_path), tmp_path / "audio", subset)
        assert [track.track_id for track in manifest] == ids
        assert list(task.targets) == [track_id for track_id in ids if track_id != "120000"]
        assert set(task.parts) == set(task.targets)

    def test_rows(self, tmp_path: Path) -> None:
        manifest, task = fma.read(self.table(tmp_path), tmp_path / "audio", "medium")
        first, second, third = manifest
        assert first.path == tmp_path / "audio/000/000002.mp3"
        assert (first.title, first.artists, first.releases) == (
            "Food",
            ("AWOL",),
            ("AWOL - A Way Of Life",),
        )
        assert (first.duration_s, first.genres, first.licence) == (
            30,
            ("Hip-Hop",),
            "Attribution, NonCommercial",
        )
        assert (second.title, second.releases, second.duration_s) == ("Two lines", ('A "B" C',), 20)
        assert [track.part for track in (first, second, third)] == ["train", "validation", "test"]
        assert task.classes == ("Hip-Hop", "Rock")
        assert task.targets == {"000002": (0,), "001482": (1,), "000005": (0,)}
        assert not task.multilabel

    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            (
                ROWS.replace("training,small,168", "train,small,168"),
                "line 4: split 'train' must be one of training",
            ),
            (ROWS.replace("small,206", "tiny,206"), "line 10: subset 'tiny' must be one of small"),
            (ROWS.replace("206", "-1"), "line 10: duration '-1' must be a number"),
            (
                ROWS.replace("5,0,A,AWOL", "x,0,A,AWOL"),
                "line 10: track_id 'x' must be a whole number",
            ),
            (ROWS.replace("5,0,A,AWOL", "5,0,AWOL"), "line 10: 10 columns, the header has 11"),
        ],
    )
    def test_malformed(self, tmp_path: Path, rows: str, words: str) -> None:
        self.table(tmp_path, rows)
        assert f"tracks.csv, {words}" in refused(fma.read, tmp_path, tmp_path / "audio")

    @pytest.mark.parametrize(
        ("header", "words"),
        [
            (
                HEADER.replace("genre_top", "genre"),
                "line 2: 0 columns 'track, genre_top' in the header",
            ),
            (HEADER.rpartition("track_id")[0], "line 3: '2' must be 'track_id'"),
        ],
    )
    def test_malformed_header(self, tmp_path: Path, header: str, words: str) -> None:
        self.table(tmp_path, header=header)
        assert f"tracks.csv, {words}" in refused(fma.read, tmp_path, tmp_path / "audio")

    def test_bad_files(self) -> None:
        assert all(len(track_id) == 6 for track_id in fma.BROKEN)

    def test_choices(self, tmp_path: Path) -> None:
        error = refused(fma.read, tmp_path, tmp_path, "full")
        assert "'full' must be one of small, medium, large" in error


class TestGtzan:
    def lists(self, folder: Path, test: str = "rock/rock.00030.wav\n") -> Path:
        write(folder / "train_filtered.txt", "blues/blues.00029.wav\nblues/blues.00030.wav\n")
        write(folder / "valid_filtered.txt", "hiphop/hiphop.00000.wav\r\n")
        write(folder / "test_filtered.txt", test)
        touch(folder / "audio/blues/blues.00029.wav", folder / "audio/blues/blues.00030.au")
        return folder

    def test_lists(self, tmp_path: Path) -> None:
        manifest, task = gtzan.read(self.lists(tmp_path), tmp_path / "audio")
        assert task.targets == {
            "blues.00029": (0,),
            "blues.00030": (0,),
            "hiphop.00000": (4,),
            "rock.00030": (9,),
        }
        assert task.parts["hiphop.00000"] == "validation"
        assert [track.path.name for track in manifest][:2] == ["blues.00029.wav", "blues.00030.au"]
        assert len(task.classes) == 10

    @pytest.mark.parametrize(
        ("test", "words"),
        [
            (
                "rock/pop.00030.wav\n",
                "line 1: 'rock/pop.00030.wav' must be like blues/blues.00029.wav",
            ),
            ("\npunk/punk.00030.wav\n", "line 2: 'punk/punk.00030.wav' must be like"),
            ("rock/rock.30.wav\n", "line 1: 'rock/rock.30.wav' must be like"),
            ("blues/blues.00030.wav\n", "line 1: blues.00030 is in train already"),
        ],
    )
    def test_malformed(self, tmp_path: Path, test: str, words: str) -> None:
        self.lists(tmp_path, test)
        assert f"test_filtered.txt, {words}" in refused(gtzan.read, tmp_path, tmp_path / "audio")

    def test_missing_list(self, tmp_path: Path) -> None:
        (self.lists(tmp_path) / "valid_filtered.txt").unlink()
        assert "valid_filtered.txt: No such file" in refused(
            gtzan.read, tmp_path, tmp_path / "audio"
        )


class TestFolders:
    def test_classes(self, tmp_path: Path) -> None:
        write_music(tmp_path / "rock" / "a.wav", 1.5)
        write_music(tmp_path / "rock" / "live" / "b.flac", 1)
        write_music(tmp_path / "jazz" / "a.wav", 1)
        write(tmp_path / "README.txt", "no music")
        manifest, task = folders.read(tmp_path)
        assert task.classes == ("jazz", "rock")
        assert task.targets == {"jazz/a.wav": (0,), "rock/a.wav": (1,), "rock/live/b.flac": (1,)}
        assert task.parts == {}
        assert task.name == tmp_path.name
        assert manifest.tracks[1].duration_s == pytest.approx(1.5)

    def test_parts(self, tmp_path: Path) -> None:
        for name in ("train/rock/a.wav", "train/jazz/b.wav", "val/rock/c.wav", "test/rock/a.wav"):
            write_music(tmp_path / name, 0.2)
        manifest, task = folders.read(tmp_path)
        assert task.classes == ("jazz", "rock")
        assert task.tracks("validation") == ["val/rock/c.wav"]
        assert task.tracks("test") == ["test/rock/a.wav"]
        assert len(manifest.part("train")) == 2

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            (["rock/a.wav", "b.wav"], "b.wav: is in no class; in "),
            (["train/rock/a.wav", "test/b.wav"], "b.wav: is in no class; in "),
            (["train/rock/a.wav", "dev/rock/b.wav"], "'dev' must be one of train, validation"),
        ],
    )
    def test_misplaced(self, tmp_path: Path, files: list[str], words: str) -> None:
        for name in files:
            write_music(tmp_path / name, 0.2)
        assert words in refused(folders.read, tmp_path)

    def test_unusable(self, tmp_path: Path) -> None:
        assert "no such folder" in refused(folders.read, tmp_path / "nowhere")
        assert "no audio files" in refused(folders.read, tmp_path)
        write(tmp_path / "rock" / "a.wav", "no music")
        assert "none of 1 audio files can be used; the first, " in refused(folders.read, tmp_path)
