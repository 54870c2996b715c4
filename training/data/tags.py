"""Reading the tags of an audio file into one form, whatever its format.

ID3 (also in WAV and AIFF), Vorbis comments (Ogg, Opus, FLAC), MP4, APEv2 and ASF are read by
mutagen. A field has several values where its format allows it: repeated fields, lists, or texts
separated by a null (ID3v2.4 and APEv2). A semicolon separates artists, labels and genres in every
format, since taggers write lists that way where the format has none. Slashes, commas and ampersands
do not separate values: AC/DC, "Folk, World, & Country".
"""

from __future__ import annotations

import contextlib
import re
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import mutagen
from mutagen.apev2 import APETextValue
from mutagen.id3 import ID3, TCON

from auricle.errors import TrainingError, one_line

# The names of a field in the various formats, in lower case. The first group that has a value is
# used.
_TITLE: Final = (("title", "tit2", "©nam"),)
_ALBUM_ARTISTS: Final = ("albumartist", "album artist", "tpe2", "aart", "wm/albumartist")
_ARTISTS: Final = (
    # Single names, which some taggers write in addition to the joint credit.
    ("artists", "txxx:artists", "----:com.apple.itunes:artists", "wm/artists"),
    ("artist", "tpe1", "©art", "author"),
    _ALBUM_ARTISTS,
)
_RELEASES: Final = (("album", "talb", "©alb", "wm/albumtitle"),)
_LABELS: Final = (
    ("label", "txxx:label", "----:com.apple.itunes:label"),
    ("organization", "publisher", "tpub", "wm/publisher"),
)
_GENRES: Final = (
    ("genre", "tcon", "©gen", "wm/genre", "style", "txxx:style", "----:com.apple.itunes:style"),
)
_LICENCE: Final = (
    ("license", "licence", "txxx:license", "txxx:licence", "wcop", "----:com.apple.itunes:license"),
    ("copyright", "tcop", "cprt"),
)

PLACEHOLDERS: Final = frozenset(
    [
        *(
            "?",
            "??",
            "???",
            "-",
            "--",
            "n/a",
            "na",
            "none",
            "non",
            "null",
            "tba",
            "unknown",
            "<unknown>",
        ),
        *(
            "unknown artist",
            "unknown album",
            "unknown genre",
            "unknown label",
            "[unknown]",
            "unnamed",
        ),
        *(
            "various",
            "various artists",
            "va",
            "v.a.",
            "no artist",
            "no album",
            "no label",
            "untitled album",
        ),
    ]
)
"""Values written where nothing is known; they are dropped. Compared by `key`."""

GENRE_PLACEHOLDERS: Final = PLACEHOLDERS | {"genre", "misc", "other"}
"""The same for genres. ID3v1 writes "Other" for an unknown genre."""


@dataclass(frozen=True, slots=True)
class Tags:
    """Tags of a file; a field that it lacks is empty.

    Attributes:
        title: First title, if there are several.
        artists: Names of artists as `clean` returns them, without repetition.
        releases: Names of releases.
        labels: Names of labels.
        genres: Names of genres.
        licence: Licence, or else the copyright notice.
        album_artists: Artists of the release, also where the track has its own.
    """

    title: str = ""
    artists: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    licence: str = ""
    album_artists: tuple[str, ...] = ()


NO_TAGS: Final = Tags()


def read_tags(file: Path) -> Tags:
    """The tags of `file`; empty if it has none, or is of a kind that mutagen does not know.

    Raises:
        TrainingError: The file has tags, but they are broken.
        OSError: The file cannot be read.
    """
    try:
        opened = mutagen.File(file)
    except (mutagen.MutagenError, LookupError, ValueError, struct.error) as error:
        if isinstance(error.__cause__ or error.__context__, OSError):
            raise OSError(f"{file}: {one_line(error)}") from error
        raise TrainingError(f"{file}: tags: {one_line(error)}") from error
    fields = dict(_fields(opened.tags)) if opened is not None and opened.tags is not None else {}
    return Tags(
        title=next(iter(_names(fields, _TITLE, frozenset())), ""),
        artists=_names(fields, _ARTISTS, PLACEHOLDERS, parted=True),
        releases=_names(fields, _RELEASES, PLACEHOLDERS),
        labels=_names(fields, _LABELS, PLACEHOLDERS, parted=True),
        genres=_names(fields, _GENRES, GENRE_PLACEHOLDERS, parted=True, numbered=True),
        licence=next(iter(_names(fields, _LICENCE, frozenset())), ""),
        album_artists=_names(fields, (_ALBUM_ARTISTS,), PLACEHOLDERS, parted=True),
    )


def clean(text: str) -> str:
    """Normalise a value: correct its encoding, compose it (NFC), on one line with single spaces.

    UTF-8 that was declared as Latin-1 is corrected. It can be recognised, because real Latin-1 text
    is practically never valid UTF-8. Other encodings declared as Latin-1, such as CP1251, cannot be
    recognised and are kept.
    """
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode()
    shown = "".join(" " if unicodedata.category(char) == "Cc" else char for char in text)
    return " ".join(unicodedata.normalize("NFC", shown).split())


def key(name: str) -> str:
    """The form by which names are compared, the same for names that differ only in case."""
    return unicodedata.normalize("NFC", name.casefold())


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """`names` in their order, keeping the first of those that have the same `key`."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(key(name), name)
    return tuple(first.values())


def _names(
    fields: dict[str, list[str]],
    groups: tuple[tuple[str, ...], ...],
    placeholders: frozenset[str],
    parted: bool = False,
    numbered: bool = False,
) -> tuple[str, ...]:
    """The values of the first group that has any."""
    for group in groups:
        texts = [text for name in group for text in fields.get(name, ())]
        if parted:
            texts = [part for text in texts for part in text.split(";")]
        if numbered:
            texts = TCON(encoding=3, text=[clean(text) for text in texts]).genres
        names = unique(filter(None, map(clean, texts)))
        names = tuple(name for name in names if key(name) not in placeholders)
        if names:
            return names
    return ()


def _fields(tags: Any) -> Iterator[tuple[str, list[str]]]:
    """The fields of a file: names in lower case, with their values as text."""
    if isinstance(tags, ID3):
        # All values of `TXXX:label` if several frames have it; the URL of a WCOP.
        found: dict[str, list[str]] = {}
        for frame in tags.values():
            name = (
                f"txxx:{frame.desc.lower()}" if frame.FrameID == "TXXX" else frame.FrameID.lower()
            )
            texts = frame.text if hasattr(frame, "text") else [getattr(frame, "url", "")]
            found.setdefault(name, []).extend(
                map(str, texts if isinstance(texts, list) else [texts])
            )
        yield from found.items()
        return
    found = {}
    for name, value in tags.items():
        values = list(value) if isinstance(value, list | APETextValue) else [value]
        found.setdefault(re.sub(r"\s+", " ", name.lower()), []).extend(map(_text, values))
    yield from found.items()


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
