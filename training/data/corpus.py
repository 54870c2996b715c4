"""Folders of tagged music as a manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

from auricle.errors import TrainingError, escaped
from auricle.nodes.signal.audio_files import find_audio
from auricle.parallel import as_completed, processes
from auricle.training.data.decoding import Audio, examine
from auricle.training.data.manifest import Manifest, Track, check_name
from auricle.training.data.tags import NO_TAGS, Tags, key, read_tags, unique

LEAST_S: Final = 10.0
"""Shorter tracks are left out: two segments of three seconds that do not overlap leave little to
choose from, and what is shorter is mostly jingles and effects."""

ID_DIGITS: Final = 16
"""Hexadecimal digits of the content hash that make a track's id: among 3.3 million tracks two have
the same with a probability of 3e-7."""

Kind = Literal["broken", "short", "duplicate", "tags"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Remark:
    """A file that is not in the corpus, or not as it should be.

    Attributes:
        path: The file.
        kind: `broken` does not decode, lies about its length, is silent or has a name that is not
            UTF-8; `short` is below the least duration; `duplicate` has the audio of another; of
            `tags` only the tags cannot be read.
        reason: In words.
    """

    path: Path
    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """The tracks in folders, and remarks on the other files."""

    manifest: Manifest
    remarks: tuple[Remark, ...]

    def count(self, kind: Kind) -> int:
        """Number of files with this remark."""
        return sum(remark.kind == kind for remark in self.remarks)


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reading of one file; without `audio` the file is broken, with `untagged` its tags are."""

    path: Path
    audio: Audio | None
    tags: Tags = NO_TAGS
    broken: str = ""
    untagged: str = ""


def read_corpus(
    folders: Sequence[Path],
    *,
    least_s: float = LEAST_S,
    workers: int = 1,
    describe: Callable[[Path, Tags], Tags] = lambda path, tags: tags,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Corpus:
    """The audio files anywhere in `folders`, decoded and with their tags.

    Of files with the same audio the first is kept, with the artists, releases, labels and genres of
    all. Names that differ in upper and lower case are one, written as in the first file that has
    it.

    Args:
        folders: Folders, searched in this order; the files of each are sorted by path.
        least_s: Shortest duration in seconds; shorter files are left out.
        workers: Number of processes that decode.
        describe: Function that corrects the tags of a file.
        progress: Function called with the number of files read so far and their total.

    Raises:
        TrainingError: A folder does not exist, no folder has audio, or none of it can be used.
    """
    files, remarks = _find(folders)
    tracks: dict[str, Track] = {}
    for reading in _readings(files, workers, progress):
        path, audio = reading.path, reading.audio
        if reading.untagged:
            remarks.append(Remark(path, "tags", reading.untagged))
        if audio is None:
            remarks.append(Remark(path, "broken", reading.broken))
        elif audio.duration_s < least_s:
            remarks.append(
                Remark(path, "short", f"{audio.duration_s:.1f} s, less than {least_s:g} s")
            )
        else:
            track = _track(path, audio, describe(path, reading.tags))
            first = tracks.get(audio.sha256)
            if first:
                remarks.append(Remark(path, "duplicate", f"the same audio as {first.path}"))
            tracks[audio.sha256] = _merged(first, track) if first else track
    if not tracks:
        first_remark = f"{remarks[0].path}: {remarks[0].reason}"
        raise TrainingError(
            f"none of {len(files)} audio files can be used; the first, {first_remark}"
        )
    return Corpus(Manifest(_same_spelling(tracks.values())), tuple(remarks))


def _find(folders: Sequence[Path]) -> tuple[list[Path], list[Remark]]:
    """The audio files in folders, each once, and remarks on what cannot be read there.

    Raises:
        TrainingError: A folder does not exist, or no folder has audio.
    """
    for folder in folders:
        if not folder.is_dir():
            raise TrainingError(f"{folder}: no such folder")
    found = [find_audio(folder) for folder in folders]
    files = list(dict.fromkeys(file.resolve() for each in found for file in each.files))
    if not files:
        raise TrainingError(f"{', '.join(map(str, folders))}: no audio files in there")
    unreadable = [place for each in found for place in each.unreadable]
    return files, [Remark(path, "broken", reason) for path, reason in unreadable]


def _readings(
    files: list[Path], workers: int, progress: Callable[[int, int], None]
) -> Iterator[_Reading]:
    """The reading of each file, in order."""
    pool = processes(workers) if workers > 1 else None
    results = (
        as_completed(pool, _read, files, 4 * workers)
        if pool
        else ((file, _read(file)) for file in files)
    )
    readings: dict[Path, _Reading] = {}
    try:
        for path, reading in results:
            readings[path] = reading
            progress(len(readings), len(files))
    except BrokenProcessPool as error:
        raise TrainingError(
            "a process that decodes was killed; --workers 1 shows at which file"
        ) from error
    return (readings[file] for file in files)


def _read(path: Path) -> _Reading:
    try:
        check_name(path)
        audio = examine(path)
    except (TrainingError, OSError) as error:
        return _Reading(path, None, broken=str(error).removeprefix(f"{escaped(str(path))}: "))
    try:
        return _Reading(path, audio, read_tags(path))
    except (TrainingError, OSError) as error:
        return _Reading(path, audio, untagged=str(error).removeprefix(f"{escaped(str(path))}: "))


def _track(path: Path, audio: Audio, tags: Tags) -> Track:
    return Track(
        audio.sha256[:ID_DIGITS],
        path,
        audio.duration_s,
        tags.title,
        tags.artists,
        tags.releases,
        tags.labels,
        tags.genres,
        tags.licence,
        audio.sha256,
        album_artists=tags.album_artists,
    )


def _merged(first: Track, other: Track) -> Track:
    """`first` with what only `other` knows."""
    return replace(
        first,
        title=first.title or other.title,
        artists=unique(first.artists + other.artists),
        releases=unique(first.releases + other.releases),
        labels=unique(first.labels + other.labels),
        genres=unique(first.genres + other.genres),
        licence=first.licence or other.licence,
        album_artists=unique(first.album_artists + other.album_artists),
    )


def _same_spelling(tracks: Iterable[Track]) -> Iterator[Track]:
    """Tracks whose names are all written as where they come first."""
    spellings: dict[str, dict[str, str]] = {}

    def spelt(field: str, names: tuple[str, ...]) -> tuple[str, ...]:
        known = spellings.setdefault(field, {})
        return tuple(known.setdefault(key(name), name) for name in names)

    for track in tracks:
        yield replace(
            track,
            artists=spelt("artists", track.artists),
            releases=spelt("releases", track.releases),
            labels=spelt("labels", track.labels),
            genres=spelt("genres", track.genres),
        )
