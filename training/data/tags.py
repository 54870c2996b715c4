"""What a file's tags say of its music, in one form whatever the format.

ID3 (also in WAV and AIFF), Vorbis comments (Ogg, Opus, FLAC), MP4, APEv2 and ASF are read by
mutagen. A field has several values where its format says so: repeated fields, lists, or texts that
are parted by a null (ID3v2.4 and APEv2). A semicolon parts artists, labels and genres in all of
them, since that is how taggers write lists into formats without. A slash, a comma and an ampersand
part nothing: AC/DC, "Folk, World, & Country".
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

from auricle.errors import TrainingError

# The names that formats have for a field, in lower case. Of several groups the first with a value
# counts.
_TITLE: Final = (("title", "tit2", "©nam"),)
_ALBUM_ARTISTS: Final = ("albumartist", "album artist", "tpe2", "aart", "wm/albumartist")
_ARTISTS: Final = (
    # Names one by one, where a tagger wrote them beside how they are credited together.
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
"""The same for genres. "Other" is what ID3v1 has for no genre."""


@dataclass(frozen=True, slots=True)
class Tags:
    """What a file says of its music; empty where it says nothing.

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
        TrainingError: They are there but broken.
        OSError: The file cannot be read.
    """
    try:
        opened = mutagen.File(file)
    except (mutagen.MutagenError, LookupError, ValueError, struct.error) as error:
        if isinstance(error.__cause__ or error.__context__, OSError):
            raise OSError(f"{file}: {' '.join(str(error).split())}") from error
        raise TrainingError(f"{file}: tags: {' '.join(str(error).split())}") from error
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
    """A value as it is kept: decoded rightly, composed (NFC), on one line, with single spaces.

    UTF-8 that was declared as Latin-1 is corrected, since it can be recognised: other text that
    happens to be valid UTF-8 once it is written as Latin-1 makes no sense in any language. Other
    encodings declared as Latin-1, such as CP1251, cannot be recognised and are left.
    """
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode()
    shown = "".join(" " if unicodedata.category(char) == "Cc" else char for char in text)
    return " ".join(unicodedata.normalize("NFC", shown).split())


def key(name: str) -> str:
    """What two names have in common that are the same but for upper and lower case."""
    return unicodedata.normalize("NFC", name.casefold())


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """`names` in their order; of those with the same `key`, the first."""
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
    """Names in lower case, with their values as text."""
    if isinstance(tags, ID3):
        # Of `TXXX:label` in several frames, all; of a WCOP, its address.
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
