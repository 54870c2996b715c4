"""Copying a graph file, with the files that it names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auricle.errors import ConfigError
from auricle.service.graph_file import GraphFile, read_graph_file
from auricle.service.schema import json_schema
from auricle.service.stream_list import StreamList

SCHEMA = "graph.schema.json"
"""Name of the JSON Schema that the first line of a graph file names for editors."""

LICENCE = "LICENSE.md"
"""Name of a licence, which is copied along with the files beside it."""


def copy_graph(source: Path, target: Path) -> list[Path]:
    """Copy a graph file, and beside it the heads, sounds and lists of sources that it names.

    Args:
        source: Graph file to copy.
        target: File to write; its folder is made if necessary.

    Returns:
        The files and folders written; those beside the target that already existed are kept.

    Raises:
        ConfigError: The graph cannot be read, or the target exists.
        OSError: The target cannot be written.
    """
    file = read_graph_file(source)
    if target.exists():
        raise ConfigError(f"{target}: already exists; choose another name")
    target.parent.mkdir(parents=True, exist_ok=True)
    text = source.read_text(encoding="utf-8")
    target.write_text(text, encoding="utf-8")
    written = [target]
    for name in _companions(file, source.parent):
        place = target.parent / name
        if not place.exists():
            _copy(source.parent / name, place)
            written.append(place)
    schema = target.parent / SCHEMA
    if SCHEMA in text and not schema.exists():
        schema.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
        written.append(schema)
    return written


def _companions(file: GraphFile, folder: Path) -> Iterator[str]:
    """Relative paths of the files and folders beside a graph file that it names."""
    texts = [text for spec in file.nodes for text in _texts(spec.params)]
    if isinstance(file.streams, StreamList):
        texts.append(str(file.streams.sources))
    for text in dict.fromkeys(texts):
        path = Path(text)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            continue
        if (folder / path).exists():
            yield text
            licence = path.parent / LICENCE
            if len(path.parts) > 1 and (folder / licence).exists():
                yield str(licence)


def _texts(value: Any) -> Iterator[str]:
    """All strings in a value of nested mappings and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
