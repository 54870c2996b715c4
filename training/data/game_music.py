"""A free corpus: the music of games that Debian 12 packages.

About 14 hours by some fifty artists. What is not music (effects, speech, the weather of a
landscape) stays in the packages. Where files have no tags, the games' own lists of credits fill in,
and the game is the release.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Final

from auricle.errors import TrainingError
from auricle.models.files import new_folder
from auricle.nodes.signal.audio_files import SUFFIXES
from auricle.training.data.tags import Tags, clean, key, unique

LEAST_S: Final = 20.0
"""Shortest track in seconds; shorter files are jingles of victory and defeat."""

Progress = Callable[[str], None]
"""Function called with a line of text at each step."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package with music.

    Attributes:
        name: Name of the Debian package.
        release: Release of the tracks whose tags name none.
        folders: Patterns of the folders of its music, below `usr/share/`.
    """

    name: str
    release: str
    folders: tuple[str, ...]


PACKAGES: Final = (
    Package("asc-music", "Advanced Strategic Command", ("games/asc/music/*",)),
    Package(
        "freedroidrpg-data",
        "FreedroidRPG",
        ("freedroidrpg/data/sound/music/*", "freedroidrpg/data/*/titles/*"),
    ),
    Package(
        "fretsonfire-songs-muldjord", "Frets on Fire: Muldjord", ("games/fretsonfire/data/songs/*",)
    ),
    Package(
        "fretsonfire-songs-sectoid", "Frets on Fire: Sectoid", ("games/fretsonfire/data/songs/*",)
    ),
    Package("hedgewars-data", "Hedgewars", ("games/hedgewars/Data/Music/*",)),
    Package("hyperrogue-music", "HyperRogue", ("hyperrogue/music/*",)),
    # Its tilesets only have wind, rain, and sounds of day and night, many times over.
    Package("megaglest-data", "MegaGlest", ("games/megaglest/*/music/*",)),
    Package("singularity-music", "Endgame: Singularity", ("games/singularity/music/*",)),
    # Among the sounds of its race tracks, those with a .music file are music.
    Package(
        "supertuxkart-data",
        "SuperTuxKart",
        ("games/supertuxkart/data/music/*", "games/supertuxkart/data/tracks/*"),
    ),
    Package("warzone2100-music", "Warzone 2100", ("games/warzone2100/music/*",)),
    Package(
        "wesnoth-1.16-music",
        "The Battle for Wesnoth OST",
        ("games/wesnoth/1.16/data/core/music/*",),
    ),
    Package("widelands-data", "Widelands", ("games/widelands/data/music/*",)),
)

MORE: Final = tuple(
    Package(name, release, ("*",))
    for name, release in (
        ("ardentryst", "Ardentryst"),
        ("berusky2-data", "Berusky 2"),
        ("btanks-data", "Battle Tanks"),
        ("colobot-common-sounds", "Colobot"),
        ("drascula-music", "Drascula"),
        ("extremetuxracer-data", "Extreme Tux Racer"),
        ("fillets-ng-data", "Fish Fillets"),
        ("hex-a-hop-data", "Hex-a-hop"),
        ("lincity-ng-data", "LinCity"),
        ("marsshooter-data", "M.A.R.S."),
        ("naev-data", "Naev"),
        ("openclonk-data", "OpenClonk"),
        ("planetblupi-music-ogg", "Planet Blupi"),
        ("redeclipse-data", "Red Eclipse"),
        ("starfighter-data", "Project: Starfighter"),
        ("supertux-data", "SuperTux"),
        ("unknown-horizons", "Unknown Horizons"),
        ("warmux-data", "WarMUX"),
        ("xmoto-data", "X-Moto"),
        ("zaz-data", "Zaz"),
    )
)
"""Packages with 15 more hours of music that is less well documented: to train students on, not to
evaluate with.
"""

CREDITS: Final = (".music", "album.json", "credits.txt", "song.ini")
"""Names, or endings, of the files in which games credit their music."""

ARTISTS: Final = {
    # The package's copyright file: "The package consists of three mp3 files [...] 2002 Michael
    # Kievernagel".
    "asc-music/*": ("Michael Kievernagel",),
    # usr/share/hyperrogue/hyperrogue-music.txt: "Hunting Grounds and Lost Mountain by Lincoln
    # Domina".
    "hyperrogue-music/*/hr-domina-*": ("Lincoln Domina",),
    # Copyright file: "Aminos for the indians and persian background music", "manolo camp for the
    # background music(norsemen)".
    "megaglest-data/*/indian/music/*": ("Aminos",),
    "megaglest-data/*/persian/music/*": ("Aminos",),
    "megaglest-data/*/norsemen/music/*": ("Manolo Camp",),
    # The tag names the person who selected it. Copyright file: "The Romans faction uses music
    # tracks from Mattias Westlund's album"; he is also in Wesnoth.
    "megaglest-data/*/romans/music/*": ("Mattias Westlund",),
    # albums/aftermath_soundtrack/license.txt: "track3_enhanced is derived from Martin Severn's
    # original". The menu's theme is enhanced in the same way, and comes from the game whose music
    # he wrote, as album.json says.
    "warzone2100-music/*/*_enhanced.opus": ("LupusMechanicus", "Martin Severn"),
    "warzone2100-music/*/music/menu.opus": ("Martin Severn",),
}
"""Artists by path pattern, for files that have no credits or wrong tags. They take precedence over
both."""

ALIASES: Final = {
    "0zone0ne": "Max Freeman",  # as tags and .music files have him for the same tracks
    "ozoneone": "Max Freeman",
    "krobonil": "Chris Leutwyler",  # "Chris Leutwyler (Krobonil)" in West.music
    "chris leutwyler (krobonil)": "Chris Leutwyler",
    "heuchi1 (contains material from nasa)": "Heuchi1",
    "http://opengameart.org, from bart": "bart",
    "keith baylis aka vim": "Keith Baylis",
    "klaus halfmann aka hasi50": "Klaus Halfmann",
}
"""Other names of artists, who would otherwise end up in two parts of the corpus. Compared as
`tags.key` does.
"""


def unpack(
    folder: Path,
    chosen: Sequence[Package] = PACKAGES,
    packages: Path | None = None,
    report: Progress = lambda line: None,
) -> list[Path]:
    """Unpack the music, credits and copyright file of each package into a folder of its name.

    Folders that exist are left alone, so an interrupted run continues. Needs no root.

    Args:
        folder: Parent of the packages' folders; created if it does not exist.
        chosen: Packages to unpack.
        packages: Folder with the packages' .deb files; if None, apt downloads and verifies them.
        report: Function called with a line of text at each step.

    Returns:
        The folder of each package.

    Raises:
        TrainingError: A package cannot be downloaded or unpacked; earlier ones are kept.
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = []
    for number, package in enumerate(chosen, 1):
        target = folder / package.name
        if not target.is_dir():
            count = f"{number} of {len(chosen)}"
            if packages:
                file = _deb(packages, package)
            else:
                report(f"downloading {package.name} ({count})")
                file = _download(package, folder)
            report(f"unpacking {package.name} ({count})")
            with new_folder(target) as fresh:
                _extract(file, package, fresh)
            if not packages:
                file.unlink()
        targets.append(target)
    return targets


def is_of_more(path: Path) -> bool:
    """Whether a file that `unpack` wrote belongs to a package in `MORE`."""
    return not {package.name for package in MORE}.isdisjoint(path.parts)


class Credits:
    """Credits of the games' music, from their own lists and from the tables above.

    Args:
        folders: Folders that `unpack` returned.

    Raises:
        TrainingError: A list of credits is malformed.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._packages = {package.name: package for package in (*PACKAGES, *MORE)}
        self._listed: dict[Path, Tags] = {}
        self._folders = [folder.resolve() for folder in folders]
        for folder in self._folders:
            for file in sorted(folder.rglob("*")):
                if file.name.endswith(CREDITS):
                    try:
                        self._listed.update(_listed(file))
                    except (ValueError, KeyError, TypeError) as error:
                        raise TrainingError(f"{file}: not a list of credits: {error}") from error

    def describe(self, path: Path, tags: Tags) -> Tags:
        """Complete and correct the tags of a file below one of the folders."""
        folder = next(folder for folder in self._folders if path.is_relative_to(folder))
        package = self._packages[folder.name]
        listed = self._listed.get(path, Tags())
        place = f"{package.name}/{path.relative_to(folder).as_posix()}"
        by_place = [names for pattern, names in ARTISTS.items() if fnmatchcase(place, pattern)]
        artists = by_place[0] if by_place else tags.artists or listed.artists
        return replace(
            tags,
            title=tags.title or listed.title or path.stem,
            artists=unique(person for name in artists for person in _persons(name)),
            releases=tags.releases or listed.releases or (package.release,),
            licence=tags.licence or f"see the copyright file of {package.name}",
            album_artists=(),  # names the game's project, which composed none of the tracks
        )


def _persons(credited: str) -> list[str]:
    """The people of a credit, without addresses. No name in these packages contains `and`."""
    names = re.split(r"\s+(?:&|and)\s+", re.sub(r"\s*<[^>]*>", "", credited).strip())
    return [ALIASES.get(key(name), name) for name in names if name]


def _listed(file: Path) -> dict[Path, Tags]:
    """Tags by file, from one list of credits."""
    folder = file.parent
    if file.suffix == ".music":
        # Not parsed as XML: one file contains an unescaped address in `<>`.
        found = re.findall(
            r'([\w-]+)\s*=\s*"([^"]*)"', file.read_text(encoding="utf-8", errors="replace")
        )
        music = {name: html.unescape(value) for name, value in found}
        tags = _tags(music.get("title", ""), music.get("composer", ""))
        return {folder / music[name]: tags for name in ("file", "fast-filename") if name in music}
    text = file.read_text(encoding="utf-8", errors="replace")
    if file.suffix == ".json":
        album = json.loads(text)
        return {
            folder / track["filename"]: _tags(track["title"], track["author"], album["title"])
            for track in album["tracks"]
        }
    pairs = [(name.strip(), value.strip()) for name, mark, value in _halves(text) if mark]
    if file.suffix == ".ini":
        song = dict(pairs)
        # "Composed and performed by Sectoid", "Muldjord - www.muldjord.com".
        artist = re.sub(
            r"^composed and performed by |\s+-\s+www\..*$", "", song.get("artist", ""), flags=re.I
        )
        # The guitar and the rest of the band are separate files with the same title.
        return {stem: _tags(song.get("name", ""), artist) for stem in folder.glob("*.ogg")}
    # Lines such as "City.ogg=HSR <http://elhombresinremedio.com>"; case may differ: `Pirate.ogg`
    # stands for pirate.ogg.
    files = {path.name.lower(): path for path in folder.iterdir()}
    by_name = {
        files[name.lower()]: value.split(' - "')[0]
        for name, value in pairs
        if name.lower() in files
    }
    return {path: _tags("", artist) for path, artist in by_name.items()}


def _halves(text: str) -> list[tuple[str, str, str]]:
    return [line.partition("=") for line in text.splitlines()]


def _tags(title: str, artist: str, release: str = "") -> Tags:
    def names(text: str) -> tuple[str, ...]:
        return (clean(text),) if clean(text) else ()

    return Tags(title=clean(title), artists=names(artist), releases=names(release))


def _deb(folder: Path, package: Package) -> Path:
    found = sorted(folder.glob(f"{package.name}_*.deb"))
    if not found:
        raise TrainingError(
            f"{folder}: no {package.name}_*.deb in there; apt-get download {package.name}"
        )
    return found[-1]


def _download(package: Package, folder: Path) -> Path:
    """Download the package's file; apt verifies it against its signed list."""
    hint = (
        f"get {package.name} from packages.debian.org (bookworm) and give its folder with "
        "--packages"
    )
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise TrainingError(
            f"{package.name}: needs apt-get and dpkg-deb, which are not here; elsewhere {hint}"
        )
    # apt does not download a complete file again.
    result = subprocess.run(
        ["apt-get", "download", "-q", package.name],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if result.returncode:
        lines = [
            line.removeprefix("E:").strip()
            for line in result.stderr.splitlines()
            if line.startswith("E:")
        ]
        reason = (lines or ["it did not say why"])[0].rstrip(".")
        raise TrainingError(
            f"{package.name}: apt-get download: {reason}; try apt-get update as root, or {hint}"
        )
    return _deb(folder, package)


def _extract(file: Path, package: Package, target: Path) -> None:
    """Write the files in `package.folders` and the copyright file, without `usr/share/`."""
    if not shutil.which("dpkg-deb"):
        raise TrainingError(
            f"{file}: needs dpkg-deb, which is not here; Debian and Ubuntu have it in dpkg"
        )
    command = ["dpkg-deb", "--fsys-tarfile", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    name = str(PurePosixPath(member.name)).removeprefix("usr/share/")
                    if member.isfile() and _wanted(name, package):
                        _write(archive, member, target / name)
        except tarfile.TarError as error:
            process.kill()
            said = process.stderr.read().decode(errors="replace").split("\n")[0]
            raise TrainingError(f"{file}: cannot be unpacked: {said or error}") from error
        said = process.stderr.read().decode(errors="replace")
    if process.returncode:
        raise TrainingError(f"{file}: cannot be unpacked: {' '.join(said.split())}")
    _drop_sounds(target)


def _wanted(name: str, package: Package) -> bool:
    """Whether a file, named without `usr/share/`, is music, credits or the copyright file."""
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        return False
    if name == f"doc/{package.name}/copyright":
        return True
    kind = PurePosixPath(name).suffix.lower() in SUFFIXES or name.endswith(CREDITS)
    return kind and any(fnmatchcase(name, pattern) for pattern in package.folders)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source: Any = archive.extractfile(member)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as sink:
        shutil.copyfileobj(source, sink)


def _drop_sounds(target: Path) -> None:
    """If there are .music files, delete the audio files that none of them names."""
    lists = list(target.rglob("*.music"))
    if not lists:
        return
    named = {path for file in lists for path in _listed(file)}
    for file in target.rglob("*"):
        if file.suffix.lower() in SUFFIXES and file not in named:
            file.unlink()
