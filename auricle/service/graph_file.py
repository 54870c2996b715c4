"""The format of graph files, and reading one.

A graph file is YAML with the name of the stream, its nodes, the edges between them and the
addresses of its sockets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from auricle.errors import ConfigError, describe_invalid, one_line
from auricle.names import NAME
from auricle.service.allowed import Allowed
from auricle.service.form import Form
from auricle.service.restart import Restart
from auricle.service.stream_list import Streams
from auricle.wire.settings import CurveSpec, WireSpec
from auricle.yaml_text import load_yaml

LONGEST_FILE = 16 << 20
"""Most bytes of a graph file."""


class NodeSpec(Form):
    """One node of a graph file."""

    id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,100}$", description="Name of the node, unique within the graph."
    )
    class_: str = Field(
        alias="class", description="Class of the node: a short name, or module:Class."
    )
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters of the node.")


class GraphFile(Form):
    """A graph file, checked."""

    stream: str = Field(
        pattern=f"^{NAME}$", description="Name of the stream, first part of its topics."
    )
    description: str = Field("", description="Purpose of the graph.")
    nodes: list[NodeSpec] = Field(min_length=1, description="The nodes, in any order.")
    edges: list[str] = Field(
        description="Chains such as 'input -> mel -> backbone'; 'node.port' where several ports "
        "would fit."
    )
    wire: WireSpec = Field(default_factory=WireSpec, description="Addresses of its sockets.")
    streams: Streams | None = Field(
        None,
        description="Streams to run the graph for, instead of once for its own source.",
    )
    allow: Allowed | None = Field(
        None,
        description="Sources that commands may add; if left out, any that the engine can open.",
    )
    keep_added: Path | None = Field(
        None,
        description="File, relative to the graph file, in which streams that commands add are kept "
        "for the next start; if left out, they are not kept.",
    )
    restart: Restart = Field(
        "never",
        description="Policy for starting streams again that have ended: a word, or with pauses.",
    )
    workers: int | None = Field(
        None, gt=0, description="Threads that share the streams; by default one per core."
    )

    @field_validator("edges")
    @classmethod
    def _check_chains(cls, edges: list[str]) -> list[str]:
        for edge in edges:
            ends = [end.strip() for end in edge.split("->")]
            if len(ends) < 2 or not all(ends):
                raise ValueError(f"{edge!r} is not of the form 'a -> b' or 'a.port -> b.port -> c'")
        return edges


def read_graph_file(path: Path) -> GraphFile:
    """Read a graph file.

    Args:
        path: Path of the file. Paths of CURVE keys in it, which are relative to its folder, are
            resolved.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or does not describe a graph.
    """
    try:
        with path.open("rb") as opened:  # which may be a device without an end
            data = opened.read(LONGEST_FILE + 1)
        if len(data) > LONGEST_FILE:
            raise ConfigError(f"{path}: not a graph: longer than {LONGEST_FILE} bytes")
        content = load_yaml(data.decode())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"{path}: {reason}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not YAML: {one_line(error)}") from None
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: not a graph: a mapping with 'stream', 'nodes' and 'edges' is needed"
        )
    try:
        file = GraphFile.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_invalid(error, model=GraphFile)}") from None
    return _with_keys_beside(file, path.parent)


def _with_keys_beside(file: GraphFile, folder: Path) -> GraphFile:
    """The same file with the paths of its CURVE keys relative to `folder`."""
    curve = file.wire.curve
    if curve is None:
        return file
    beside = CurveSpec(secret_key=folder / curve.secret_key, clients=folder / curve.clients)
    return file.model_copy(update={"wire": file.wire.model_copy(update={"curve": beside})})
