"""Debian's game music, from packages made here that look like the real ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auricle.errors import TrainingError

pytest.importorskip("mutagen", reason="needs mutagen: pip install 'auricle[train]'")
pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'auricle[train]'")

import mutagen

from auricle.training.data import game_music
from auricle.training.data.game_music import MORE, PACKAGES, Credits, unpack
from auricle.training.data.manifest import Manifest
from auricle.training.data.tags import Tags
from tests.training.music import write_music

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")

KART = "games/supertuxkart/data"
WARZONE = "games/warzone2100/music"

# As the games have them; the second is not XML.
TEXTS = {
    f"supertuxkart-data/{KART}/music/farm.music": """<?xml version="1.0"?>
<music title    = "Golden Fields"
       composer = "Krobonil &amp; OzoneOne"
       file	= "farm.ogg"
       fast-filename = "farm_f.ogg"/>
""",
    f"supertuxkart-data/{KART}/tracks/arena/battle.music": """<?xml version="1.0"?>
<music title    = "Battle Theme 1"
       composer = "Alexandr Zhelanov <https://soundcloud.com/alexandr-zhelanov>"
       file     = "battle.ogg"/>
""",
    "hedgewars-data/games/hedgewars/Data/Music/credits.txt": """City.ogg=HSR <http://elhombresinremedio.com>
Pirate.ogg=Jonatan Nilsson
sdmusic.ogg=Kevin MacLeod - "Hitman" [sheepluva edit]
gone.ogg=Nobody
""",
    f"warzone2100-music/{WARZONE}/albums/legacy/album.json": """{
  "title": "Legacy Soundtrack", "author": "LupusMechanicus",
  "tracks": [{"filename": "track4.ogg", "title": "Uncertain Future",
              "author": "LupusMechanicus", "bpm": 80}]}
""",
    "fretsonfire-songs-sectoid/games/fretsonfire/data/songs/sectoid/Feelings/song.ini": """[song]
scores = 636572
name = Feelings
artist = Composed and performed by Sectoid

""",
}

SOUNDS = (
    "asc-music/games/asc/music/frontiers.ogg",
    "freedroidrpg-data/freedroidrpg/data/sound/music/town.ogg",
    "freedroidrpg-data/freedroidrpg/data/sound/effects/hit.ogg",
    "fretsonfire-songs-muldjord/games/fretsonfire/data/songs/muldjord/a/song.ogg",
    "fretsonfire-songs-sectoid/games/fretsonfire/data/songs/sectoid/Feelings/guitar.ogg",
    "fretsonfire-songs-sectoid/games/fretsonfire/data/songs/sectoid/Feelings/song.ogg",
    "hedgewars-data/games/hedgewars/Data/Music/City.ogg",
    "hedgewars-data/games/hedgewars/Data/Music/pirate.ogg",
    "hedgewars-data/games/hedgewars/Data/Music/sdmusic.ogg",
    "hedgewars-data/games/hedgewars/Data/Music/Golf.ogg",
    "hedgewars-data/games/hedgewars/Data/Sounds/voice.ogg",
    "hyperrogue-music/hyperrogue/music/hr-domina-hunting.ogg",
    "megaglest-data/games/megaglest/techs/megapack/factions/romans/music/romans.ogg",
    "megaglest-data/games/megaglest/tilesets/jungle/sounds/night.ogg",
    "singularity-music/games/singularity/music/win/a.ogg",
    f"supertuxkart-data/{KART}/music/farm.ogg",
    f"supertuxkart-data/{KART}/music/farm_f.ogg",
    f"supertuxkart-data/{KART}/tracks/arena/battle.ogg",
    f"supertuxkart-data/{KART}/tracks/arena/speech.ogg",
    f"warzone2100-music/{WARZONE}/albums/legacy/track4.ogg",
    f"warzone2100-music/{WARZONE}/menu.ogg",
    "wesnoth-1.16-music/games/wesnoth/1.16/data/core/music/battle.ogg",
    "widelands-data/games/widelands/data/music/menu.ogg",
    "widelands-data/games/widelands/data/sound/hammer.ogg",
)

NO_MUSIC = {"hit", "voice", "night", "speech", "hammer"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a .deb of each package."""
    root, debs = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("debs")
    for number, sound in enumerate(SOUNDS):
        package, _, name = sound.partition("/")
        path = write_music(root / package / "usr/share" / name, 1, number)
        if path.stem in ("romans", "battle"):
            file: Any = mutagen.File(path)
            file["artist"], file["license"] = (
                "Eliminator" if path.stem == "romans" else "Max",
                "GPL",
            )
            file.save()
    for name, text in TEXTS.items():
        package, _, name = name.partition("/")
        (root / package / "usr/share" / name).write_text(text, encoding="utf-8")
    for number, package_ in enumerate(MORE, len(SOUNDS)):
        write_music(root / package_.name / "usr/share/games/song.ogg", 1, number)
    for package_ in (*PACKAGES, *MORE):
        home = root / package_.name
        (home / "DEBIAN").mkdir(parents=True)
        (home / "DEBIAN/control").write_text(
            f"Package: {package_.name}\nVersion: 1\nArchitecture: all\n"
            "Maintainer: A <a@b.example>\nDescription: music\n"
        )
        notice = home / "usr/share/doc" / package_.name / "copyright"
        notice.parent.mkdir(parents=True)
        notice.write_text("Copyright: somebody\n")
        command = [
            "dpkg-deb",
            "--root-owner-group",
            "-Znone",
            "-b",
            str(home),
            str(debs / f"{package_.name}_1_all.deb"),
        ]
        subprocess.run(command, check=True, capture_output=True)
    return debs


@needs_dpkg
def test_music_and_nothing_else_is_unpacked(packages: Path, tmp_path: Path) -> None:
    folders = unpack(tmp_path / "out", packages=packages)
    assert [folder.name for folder in folders] == [package.name for package in PACKAGES]
    found = {
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.ogg")
    }
    assert found == {sound for sound in SOUNDS if Path(sound).stem not in NO_MUSIC}
    assert all((folder / "doc" / folder.name / "copyright").is_file() for folder in folders)


@needs_dpkg
def test_what_is_there_is_left_alone(packages: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    lines: list[str] = []
    some = shutil.copytree(packages, tmp_path / "some")
    (some / "widelands-data_1_all.deb").unlink()
    with pytest.raises(
        TrainingError, match=r"no widelands-data_\*\.deb in there; apt-get download widelands"
    ):
        unpack(out, packages=some)
    assert len(list(out.iterdir())) == len(PACKAGES) - 1
    unpack(out, packages=packages, report=lines.append)
    assert lines == ["unpacking widelands-data (12 of 12)"]


@needs_dpkg
def test_cut_package_leaves_nothing(packages: Path, tmp_path: Path) -> None:
    some = shutil.copytree(packages, tmp_path / "some")
    package = some / "asc-music_1_all.deb"
    package.write_bytes(package.read_bytes()[:-3000])
    with pytest.raises(
        TrainingError, match=r"asc-music_1_all\.deb: cannot be unpacked: "
    ) as caught:
        unpack(tmp_path / "out", packages=some)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


@needs_dpkg
def test_credits(packages: Path, tmp_path: Path) -> None:
    folders = unpack(tmp_path / "out", packages=packages)
    describe = Credits(folders).describe
    tags = {
        path.relative_to(tmp_path / "out").as_posix(): describe(path, Tags())
        for path in sorted((tmp_path / "out").resolve().rglob("*.ogg"))
    }

    def said(end: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        (found,) = (tags[name] for name in tags if name.endswith(end))
        return found.title, found.artists, found.releases

    kart = ("SuperTuxKart",)
    assert said("music/farm.ogg") == ("Golden Fields", ("Chris Leutwyler", "Max Freeman"), kart)
    assert said("music/farm_f.ogg") == said("music/farm.ogg")
    assert said("arena/battle.ogg") == ("Battle Theme 1", ("Alexandr Zhelanov",), kart)
    assert said("City.ogg") == ("City", ("HSR",), ("Hedgewars",))
    assert said("pirate.ogg") == ("pirate", ("Jonatan Nilsson",), ("Hedgewars",))
    assert said("sdmusic.ogg") == ("sdmusic", ("Kevin MacLeod",), ("Hedgewars",))
    assert said("Golf.ogg") == ("Golf", (), ("Hedgewars",))
    assert said("track4.ogg") == ("Uncertain Future", ("LupusMechanicus",), ("Legacy Soundtrack",))
    assert said("Feelings/guitar.ogg") == ("Feelings", ("Sectoid",), ("Frets on Fire: Sectoid",))
    assert said("Feelings/song.ogg") == said("Feelings/guitar.ogg")
    assert said("hr-domina-hunting.ogg")[1] == ("Lincoln Domina",)
    assert said("frontiers.ogg")[1] == ("Michael Kievernagel",)
    assert tags[SOUNDS[0]].licence == "see the copyright file of asc-music"


@needs_dpkg
def test_tags_come_before_credits_but_not_before_corrections(
    packages: Path, tmp_path: Path
) -> None:
    folders = unpack(tmp_path / "out", packages=packages)
    describe = Credits(folders).describe
    tagged = Tags(
        "T",
        ("OzoneOne & A <a@b.example>",),
        ("R",),
        genres=("G",),
        licence="GPL",
        album_artists=("P",),
    )
    (farm,) = (tmp_path / "out").resolve().rglob("farm.ogg")
    assert describe(farm, tagged) == Tags(
        "T", ("Max Freeman", "A"), ("R",), genres=("G",), licence="GPL"
    )
    (romans,) = (tmp_path / "out").resolve().rglob("romans.ogg")
    assert describe(romans, tagged).artists == ("Mattias Westlund",)


@needs_dpkg
def test_broken_credits_name_the_file(packages: Path, tmp_path: Path) -> None:
    folders = unpack(tmp_path / "out", packages=packages)
    (album,) = (tmp_path / "out").rglob("album.json")
    album.write_text('{"title": "A", "tracks": [{"filename": "track4.ogg"}]}')
    with pytest.raises(TrainingError, match=r"album\.json: not a list of credits: 'title'"):
        Credits(folders)


def command(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [
        sys.executable,
        "-m",
        "auricle.train",
        "corpus",
        "game-music",
        "--workers",
        "1",
        *map(str, arguments),
    ]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=500, env={**os.environ, **environment}
    )


@needs_dpkg
def test_command(packages: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = command("--out", out, "--packages", packages, "--least-seconds", 0.5)
    assert result.returncode == 0, result.stderr
    manifest = Manifest.load(out / "manifest.parquet")
    assert len(manifest) == len(SOUNDS) - len(NO_MUSIC)
    assert all(track.releases and track.path.is_file() for track in manifest)
    assert {"Max", "Mattias Westlund"} < {name for track in manifest for name in track.artists}


@needs_dpkg
def test_more_is_for_training(packages: Path, tmp_path: Path) -> None:
    plain, more = tmp_path / "plain", tmp_path / "more"
    options = ("--packages", packages, "--least-seconds", 0.5)
    assert command("--out", plain, *options).returncode == 0
    result = command("--out", more, *options, "--more")
    assert result.returncode == 0, result.stderr
    before, after = (
        {track.track_id: track.part for track in Manifest.load(out / "manifest.parquet")}
        for out in (plain, more)
    )
    assert before.items() < after.items()
    assert [after[name] for name in after.keys() - before.keys()] == ["train"] * len(MORE)


@needs_dpkg
def test_least_duration_is_that_of_music(packages: Path, tmp_path: Path) -> None:
    result = command("--out", tmp_path / "out", "--packages", packages)
    assert result.returncode == 1
    assert "less than 20 s" in result.stderr


def test_without_apt(tmp_path: Path) -> None:
    result = command("--out", tmp_path / "out", PATH=str(tmp_path))
    assert result.returncode == 1
    assert "downloading asc-music (1 of 12)" in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "downloading" not in line]
    assert "asc-music: needs apt-get and dpkg-deb" in line
    assert "--packages" in line


def test_apt_that_does_not_know_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    apt = tmp_path / "bin" / "apt-get"
    apt.write_text("#!/bin/sh\necho 'E: Unable to locate package asc-music' >&2\nexit 100\n")
    for name in (apt, tmp_path / "bin" / "dpkg-deb"):
        name.touch()
        name.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(
        TrainingError, match="asc-music: apt-get download: Unable to locate package asc-music; "
    ):
        unpack(tmp_path / "out")


def test_packages_go_with_game_music(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "auricle.train",
        "corpus",
        str(tmp_path),
        "--packages",
        str(tmp_path),
    ]
    result = subprocess.run(words, capture_output=True, text=True, timeout=500)
    assert result.returncode == 2
    assert "--packages and --more go with game-music" in result.stderr


def test_names_of_packages_are_used_once() -> None:
    names = [package.name for package in PACKAGES]
    assert len(set(names)) == len(names)
    assert all(any(pattern.startswith(name) for name in names) for pattern in game_music.ARTISTS)
