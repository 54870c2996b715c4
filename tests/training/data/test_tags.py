"""Tags of every form come out the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auricle.errors import TrainingError

pytest.importorskip("mutagen", reason="needs mutagen: pip install 'auricle[train]'")

import mutagen
from mutagen import id3
from mutagen.apev2 import APEv2
from mutagen.asf import ASF
from mutagen.mp4 import MP4

from auricle.training.data.tags import Tags, clean, key, read_tags, unique
from tests.training.music import write_music

WHOLE = Tags(
    title="Ça ira",
    artists=("Björk", "АукцЫон"),
    releases=("Début",),
    labels=("One Little Indian",),
    genres=("Art Pop", "Rock"),
    licence="CC BY 4.0",
)


@pytest.fixture(scope="module")
def mp3(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_music(tmp_path_factory.mktemp("mp3") / "a.mp3", 0.3).read_bytes()


def tagged(tmp_path: Path, mp3: bytes, *frames: id3.Frame, version: int = 4) -> Path:
    """An MP3 with an ID3 header."""
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3)
    tags = id3.ID3()
    for frame in frames:
        tags.add(frame)
    tags.save(path, v1=0, v2_version=version, v23_sep=None)
    return path


def whole_id3(path: Path) -> None:
    file: Any = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    tags = file.tags
    tags.add(id3.TIT2(3, "Ça ira"))
    tags.add(id3.TPE1(3, ["Björk", "АукцЫон"]))
    tags.add(id3.TALB(3, "Début"))
    tags.add(id3.TXXX(3, "LABEL", "One Little Indian"))
    tags.add(id3.TCON(3, ["Art Pop", "17"]))
    tags.add(id3.TXXX(3, "License", "CC BY 4.0"))
    file.save()


def whole_vorbis(path: Path) -> None:
    file: Any = mutagen.File(path)
    file["Title"] = "Ça ira"
    file["ARTIST"] = ["Björk", "АукцЫон"]
    file["album"] = "Début"
    file["organization"] = "One Little Indian"
    file["genre"] = ["Art Pop", "Rock"]
    file["license"] = "CC BY 4.0"
    file.save()


def whole_mp4(path: Path) -> None:
    file = MP4(path)
    file["©nam"] = "Ça ira"
    file["©ART"] = ["Björk", "АукцЫон"]
    file["©alb"] = "Début"
    file["©gen"] = ["Art Pop", "Rock"]
    file["----:com.apple.iTunes:LABEL"] = b"One Little Indian"
    file["cprt"] = "CC BY 4.0"
    file.save()


def whole_ape(path: Path) -> None:
    tags = APEv2()
    tags["Title"] = "Ça ira"
    tags["Artist"] = ["Björk", "АукцЫон"]
    tags["Album"] = "Début"
    tags["Label"] = "One Little Indian"
    tags["Genre"] = ["Art Pop", "Rock"]
    tags["Copyright"] = "CC BY 4.0"
    tags.save(path)


def whole_asf(path: Path) -> None:
    file = ASF(path)
    file["Title"] = "Ça ira"
    file["Author"] = ["Björk", "АукцЫон"]
    file["WM/AlbumTitle"] = "Début"
    file["WM/Publisher"] = "One Little Indian"
    file["WM/Genre"] = ["Art Pop", "Rock"]
    file["Copyright"] = "CC BY 4.0"
    file.save()


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".mp3", whole_id3),
        (".wav", whole_id3),
        (".ogg", whole_vorbis),
        (".flac", whole_vorbis),
        (".opus", whole_vorbis),
        (".m4a", whole_mp4),
        (".wv", whole_ape),
        (".wma", whole_asf),
    ],
)
def test_every_format_says_the_same(tmp_path: Path, suffix: str, write: Any) -> None:
    path = write_music(tmp_path / f"a{suffix}", 0.5)
    write(path)
    assert read_tags(path) == WHOLE


@pytest.mark.parametrize("suffix", [".mp3", ".wav", ".ogg", ".flac", ".m4a"])
def test_no_tags(tmp_path: Path, suffix: str) -> None:
    path = write_music(tmp_path / f"a{suffix}", 0.5)
    file: Any = mutagen.File(path)
    file.delete()
    assert read_tags(path) == Tags()


def test_kind_that_mutagen_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "a.mka"
    path.write_bytes(b"\x1a\x45\xdf\xa3" + bytes(100))
    assert read_tags(path) == Tags()


def test_broken_tags_are_one_line(tmp_path: Path) -> None:
    path = write_music(tmp_path / "a.flac", 0.5)
    content = bytearray(path.read_bytes())
    at = content.index(b"Lavf") - 4  # the length of the vendor's name
    content[at : at + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"a\.flac: tags: ") as caught:
        read_tags(path)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.mp3"):
        read_tags(tmp_path / "a.mp3")


def test_id3v1(tmp_path: Path, mp3: bytes) -> None:
    path = tagged(tmp_path, mp3)
    fields = (
        b"TAG" + b"Title".ljust(30, b"\0") + b"Somebody".ljust(30, b" ") + b"Album".ljust(30, b"\0")
    )
    path.write_bytes(mp3 + fields + b"1999" + bytes(30) + bytes([17]))
    assert read_tags(path) == Tags("Title", ("Somebody",), ("Album",), (), ("Rock",), "")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("(17)", ("Rock",)),
        ("17", ("Rock",)),
        ("(4)Eurodisco", ("Disco", "Eurodisco")),
        ("(51)(39)", ("Techno-Industrial", "Noise")),
        ("(12)", ()),  # "Other", which stands for none
        ("Rock; Pop;rock ;", ("Rock", "Pop")),
        ("Folk, World, & Country", ("Folk, World, & Country",)),
        ("Drum\tn  Bass ", ("Drum n Bass",)),
        ("Unknown", ()),
    ],
)
def test_genres(tmp_path: Path, mp3: bytes, written: str, read: tuple[str, ...]) -> None:
    assert read_tags(tagged(tmp_path, mp3, id3.TCON(3, written))).genres == read


def test_genre_numbers_in_other_formats(tmp_path: Path) -> None:
    path = write_music(tmp_path / "a.flac", 0.3)
    file: Any = mutagen.File(path)
    file["genre"] = ["(17)", "(4)Eurodisco", "House"]
    file.save()
    assert read_tags(path).genres == ("Rock", "Disco", "Eurodisco", "House")


@pytest.mark.parametrize("version", [3, 4])
def test_artists_parted_by_null(tmp_path: Path, mp3: bytes, version: int) -> None:
    path = tagged(tmp_path, mp3, id3.TPE1(1, ["AC/DC", "Simon & Garfunkel"]), version=version)
    assert read_tags(path).artists == ("AC/DC", "Simon & Garfunkel")


@pytest.mark.parametrize(
    "name", ["", "  ", "Unknown Artist", "VARIOUS ARTISTS", "none", "non", "???", "<Unknown>"]
)
def test_placeholders_are_dropped(tmp_path: Path, mp3: bytes, name: str) -> None:
    frames = [id3.TPE1(3, name), id3.TALB(3, name), id3.TXXX(3, "LABEL", name), id3.TCON(3, name)]
    assert read_tags(tagged(tmp_path, mp3, *frames)) == Tags()


@pytest.mark.parametrize(
    "name", ["Nonpoint", "!!!", "?uestlove", "The Unknown", "Various Production"]
)
def test_names_like_placeholders_are_kept(tmp_path: Path, mp3: bytes, name: str) -> None:
    assert read_tags(tagged(tmp_path, mp3, id3.TPE1(3, name))).artists == (name,)


def test_names_one_by_one_come_before_the_credit(tmp_path: Path, mp3: bytes) -> None:
    credit, album = id3.TPE1(3, "A feat. B"), id3.TPE2(3, "C")
    assert read_tags(tagged(tmp_path, mp3, credit, album)).artists == ("A feat. B",)
    names = id3.TXXX(3, "Artists", ["A", "B"])
    assert read_tags(tagged(tmp_path, mp3, credit, album, names)).artists == ("A", "B")
    assert read_tags(tagged(tmp_path, mp3, id3.TPE1(3, "unknown"), album)).artists == ("C",)


def test_encodings_in_latin_1_frames(tmp_path: Path, mp3: bytes) -> None:
    """What old taggers wrote: bytes of another encoding in frames that say Latin-1."""
    utf_8 = id3.TPE1(0, "Björk".encode().decode("latin-1"))
    cyrillic = id3.TALB(0, "Аукцыон".encode().decode("latin-1"))
    cp1251 = id3.TXXX(0, "LABEL", "Мелодия".encode("cp1251").decode("latin-1"))
    latin_1 = id3.TCON(0, "Café Música")
    tags = read_tags(tagged(tmp_path, mp3, utf_8, cyrillic, cp1251, latin_1, version=3))
    assert tags.artists == ("Björk",)
    assert tags.releases == ("Аукцыон",)
    assert tags.labels == ("Ìåëîäèÿ",), "may be Latin-1 as well"
    assert tags.genres == ("Café Música",)


def test_clean() -> None:
    assert clean(" a\u00a0\u2003b\n\x00c ") == "a b c"
    assert clean("Bjo\u0308rk") == "Bj\u00f6rk"
    assert clean("naïve") == "naïve"


def test_same_names() -> None:
    assert unique(["Thrash Metal", "Pop", "thrash metal", "POP"]) == ("Thrash Metal", "Pop")
    assert key("STRASSE") == key("Straße")
    assert key("Cafe") != key("Café")
