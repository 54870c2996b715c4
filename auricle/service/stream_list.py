"""The streams that a graph file lists: one by one, or as a text file of sources."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationError

from auricle.errors import ConfigError, describe_invalid
from auricle.names import NAME
from auricle.service.form import Form
from auricle.service.restart import Restart

LONGEST_STEM = 80
"""Most characters that the name of a stream takes from its source."""

PLS_ENTRY = re.compile(r"File\d+\s*=\s*(.+)", re.IGNORECASE)
"""Line of a PLS file that has a source; its other lines are titles and lengths."""


class StreamSpec(Form):
    """One of the streams that a graph is run for."""

    name: str = Field(
        pattern=f"^{NAME}$", description="Name of the stream, first part of its topics."
    )
    input: str = Field(
        description="Source to listen to instead of the graph's own: a file, a URL, mic:NAME, "
        "zmq:ADDRESS."
    )
    values: dict[str, Any] = Field(
        default_factory=dict, description="Parameters that differ from the graph's, by node.param."
    )
    restart: Restart | None = Field(
        None, description="Policy for starting it again, if it differs from the graph's."
    )


class StreamList(Form):
    """Streams listed in a text file, one source per line."""

    name: str = Field(
        "{stem}-{key}",
        description="Pattern of their names: {stem} is the last part of the source without its "
        "suffix, {key} six digits that belong to the source, {number} the number of the line from "
        "1, which changes with the lines above it.",
    )
    sources: Path = Field(
        description="Text file, M3U or PLS, relative to the graph file; empty lines and lines that "
        "begin with # are ignored."
    )
    values: dict[str, Any] = Field(
        default_factory=dict, description="Parameters that differ from the graph's, by node.param."
    )


# Discriminated by form, so that pydantic reports the errors of one branch of the union only.
Streams = Annotated[
    Annotated[list[StreamSpec], Tag("list")] | Annotated[StreamList, Tag("file")],
    Discriminator(lambda value: "file" if isinstance(value, dict | StreamList) else "list"),
]


def list_streams(streams: list[StreamSpec] | StreamList | None, folder: Path) -> list[StreamSpec]:
    """List the streams of a graph file one by one.

    Args:
        streams: Field `streams` of the file; None gives an empty list.
        folder: Folder that the path of a text file is relative to.

    Raises:
        ConfigError: A text file cannot be read, or a name is invalid or not unique.
    """
    specs = _read_list(streams, folder) if isinstance(streams, StreamList) else streams or []
    names = Counter(spec.name for spec in specs)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ConfigError(f"streams: {names[twice[0]]} streams have the name {twice[0]!r}")
    return specs


def _read_list(streams: StreamList, folder: Path) -> list[StreamSpec]:
    path = folder / streams.sources
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:  # or a name that no file can have
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"streams.sources: {path}: {reason}") from None
    is_pls = path.suffix.lower() == ".pls"
    specs = []
    for number, line in enumerate(map(str.strip, lines), start=1):
        if is_pls:
            entry = PLS_ENTRY.fullmatch(line)
            line = entry[1] if entry else ""
        if not line or line.startswith("#"):
            continue
        name = _fill_in(streams.name, number, line)
        try:
            specs.append(StreamSpec(name=name, input=line, values=streams.values))
        except ValidationError as error:
            raise ConfigError(f"{path}, line {number}: {describe_invalid(error)}") from None
    return specs


def _fill_in(pattern: str, number: int, source: str) -> str:
    """The name of the stream on a line: the pattern with what stands in braces replaced."""
    last_part = PurePosixPath(source.partition("?")[0]).stem
    stem = re.sub(r"[^A-Za-z0-9_.:-]+", "-", last_part)[:LONGEST_STEM].strip("-.")
    key = hashlib.sha256(source.encode()).hexdigest()[:6]
    try:
        return pattern.format(number=number, stem=stem, key=key)
    except (KeyError, IndexError, ValueError):
        what = f"streams.name: {pattern!r}"
        raise ConfigError(
            f"{what}: only {{stem}}, {{key}} and {{number}} can stand in braces"
        ) from None
