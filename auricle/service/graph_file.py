"""Graph files: read, checked, and turned into graphs.

A graph file is YAML with the name of the stream, its nodes, the edges between them and the
addresses it speaks on. `json_schema` describes the form to editors.
"""

from __future__ import annotations

import difflib
import importlib
import itertools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
)

from auricle.engine.graph import Graph
from auricle.engine.node import Node, describe
from auricle.errors import ConfigError
from auricle.wire.settings import CurveSpec, WireSpec

Catalogue = Mapping[str, str]
"""Where each class of nodes is found: name to `module:Class`."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class NodeSpec(_Strict):
    """One node of a graph file."""

    id: str = Field(
        pattern=r"^[A-Za-z0-9_-]+$", description="Name of the node, unique within the graph."
    )
    class_: str = Field(
        alias="class", description="Class of the node, or module:Class of your own."
    )
    params: dict[str, Any] = Field(default_factory=dict, description="Its parameters.")


NAME = r"[A-Za-z0-9][A-Za-z0-9_.:-]*"
"""What the name of a stream looks like."""


class StreamSpec(_Strict):
    """One of the streams that a graph is run for, each with its own source."""

    name: str = Field(
        pattern=f"^{NAME}$", description="Name of the stream, first part of its topics."
    )
    input: str = Field(
        description="What it listens to, in the place of the graph's own source: a file, a URL, mic:NAME, "
        "zmq:ADDRESS."
    )
    values: dict[str, Any] = Field(
        default_factory=dict, description="Parameters that differ, by node.param."
    )


class StreamList(_Strict):
    """Streams as a text file with a source a line."""

    name: str = Field(
        description="Pattern of their names: {number} is the line's number from 1, {stem} the last part of "
        "the source without its ending."
    )
    sources: Path = Field(
        description="Text file, relative to the graph file; empty lines and lines that begin with # are left "
        "out."
    )
    values: dict[str, Any] = Field(
        default_factory=dict, description="Parameters that differ from the graph's, by node.param."
    )


# Told apart by their form, so that an error speaks of one of them only.
Streams = Annotated[
    Annotated[list[StreamSpec], Tag("list")] | Annotated[StreamList, Tag("file")],
    Discriminator(lambda value: "file" if isinstance(value, dict | StreamList) else "list"),
]


class GraphFile(_Strict):
    """A graph file as read."""

    stream: str = Field(
        pattern=f"^{NAME}$", description="Name of the stream, first part of its topics."
    )
    description: str = Field("", description="What the graph is for.")
    nodes: list[NodeSpec] = Field(min_length=1, description="The nodes, in any order.")
    edges: list[str] = Field(
        description="Chains such as 'input -> mel -> backbone'; 'node.port' where several ports fit."
    )
    wire: WireSpec = Field(default_factory=WireSpec, description="The addresses it speaks on.")
    streams: Streams | None = Field(
        None,
        description="Run the graph once for each of these, instead of once for its own source.",
    )
    workers: int | None = Field(
        None, gt=0, description="Threads that share the streams; one a core, if left out."
    )

    @field_validator("edges")
    @classmethod
    def _are_chains(cls, edges: list[str]) -> list[str]:
        for edge in edges:
            ends = [end.strip() for end in edge.split("->")]
            if len(ends) < 2 or not all(ends):
                raise ValueError(f"{edge!r} is not of the form 'a -> b' or 'a.port -> b.port -> c'")
        return edges


def load(path: Path) -> GraphFile:
    """Read a graph file.

    Raises:
        ConfigError: It cannot be read, is not YAML, or not of the form of a graph.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"{path}: {reason}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: not a graph: a mapping with 'stream', 'nodes' and 'edges' is needed"
        )
    try:
        file = GraphFile.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error)}") from None
    if file.wire.curve is None:
        return file
    curve = file.wire.curve
    beside = CurveSpec(
        secret_key=path.parent / curve.secret_key, clients=path.parent / curve.clients
    )
    return file.model_copy(update={"wire": file.wire.model_copy(update={"curve": beside})})


def streams_of(file: GraphFile, folder: Path) -> list[StreamSpec]:
    """The streams that a file with `streams` names, one by one.

    Args:
        file: As read.
        folder: What the path of a list is relative to.

    Raises:
        ConfigError: A list that cannot be read, a name that is none, or that two streams have.
    """
    streams = file.streams
    if isinstance(streams, StreamList):
        streams = _listed(streams, folder)
    names = Counter(spec.name for spec in streams or ())
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ConfigError(f"streams: {names[twice[0]]} streams have the name {twice[0]!r}")
    return list(streams or ())


def _listed(streams: StreamList, folder: Path) -> list[StreamSpec]:
    path = folder / streams.sources
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"streams.sources: {path}: {reason}") from None
    specs = []
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        stem = re.sub(r"[^A-Za-z0-9_.:-]+", "-", PurePosixPath(line.partition("?")[0]).stem).strip(
            "-."
        )
        try:
            name = streams.name.format(number=number, stem=stem)
        except (KeyError, IndexError, ValueError):
            raise ConfigError(
                f"streams.name: {streams.name!r}: only {{number}} and {{stem}} can stand in braces"
            ) from None
        try:
            specs.append(StreamSpec(name=name, input=line, values=streams.values))
        except ValidationError as error:
            raise ConfigError(f"{path}, line {number}: {describe(error)}") from None
    return specs


def build(file: GraphFile, catalogue: Catalogue, folder: Path, start: int = 0) -> Graph:
    """Make the graph that a file describes.

    Args:
        file: As read.
        catalogue: Classes that go by a short name.
        folder: What relative paths in parameters are relative to.
        start: Index at which every stream begins. Zero but in tests.

    Raises:
        ConfigError: An unknown class or parameter, or nodes that do not fit each other.
    """
    nodes = []
    for spec in file.nodes:
        node_class = find_class(spec.class_, catalogue, spec.id)
        nodes.append(node_class(spec.id, **_with_folder(spec.params, node_class, folder)))
    return Graph(file.stream, nodes, _pairs(file.edges, nodes), start)


def find_class(name: str, catalogue: Catalogue, node: str | None = None) -> type[Node]:
    """The class of nodes called `name`, or found at `module:Class`.

    Raises:
        ConfigError: There is none.
    """
    place = catalogue.get(name, name)
    module_name, _, class_name = place.partition(":")
    if not class_name:
        near = difflib.get_close_matches(name, catalogue, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigError(
            f"no class {name!r}{hint}; classes are: {', '.join(catalogue)}", node=node
        )
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"class {name!r} cannot be imported: {error}", node=node) from error
    if not (isinstance(found, type) and issubclass(found, Node)):
        raise ConfigError(f"class {name!r} is not a node", node=node)
    return found


def with_values(file: GraphFile, values: Mapping[str, Any]) -> GraphFile:
    """The same file with other parameters.

    Args:
        file: As read.
        values: By `node.param`.

    Raises:
        ConfigError: A name that is not of this form, or no such node.
    """
    changed = {spec.id: dict(spec.params) for spec in file.nodes}
    for name, value in values.items():
        node, dot, param = name.partition(".")
        if not dot or not param:
            raise ConfigError(f"{name!r} is not of the form node.param")
        if node not in changed:
            raise ConfigError(f"no node {node!r}; nodes are: {', '.join(changed)}")
        changed[node][param] = value
    nodes = [spec.model_copy(update={"params": changed[spec.id]}) for spec in file.nodes]
    return file.model_copy(update={"nodes": nodes})


def json_schema(catalogue: Catalogue) -> dict[str, Any]:
    """JSON Schema of graph files, with the parameters of every class in the catalogue."""
    schema = GraphFile.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    general = definitions.pop("NodeSpec")
    kinds = []
    for name in catalogue:
        params = find_class(name, catalogue).Params.model_json_schema(
            ref_template="#/$defs/{model}"
        )
        definitions.update(params.pop("$defs", {}))
        doc = (find_class(name, catalogue).__doc__ or "").partition("\n")[0]
        properties = {
            **general["properties"],
            "class": {"const": name, "description": doc},
            "params": params,
        }
        required = ["id", "class", *(["params"] if params.get("required") else [])]
        kinds.append(
            {
                "type": "object",
                "additionalProperties": False,
                "properties": properties,
                "required": required,
            }
        )
    own = {
        **general,
        "properties": {**general["properties"], "class": {"type": "string", "pattern": ":"}},
    }
    schema["properties"]["nodes"]["items"] = {"anyOf": [*kinds, own]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _pairs(edges: list[str], nodes: list[Node]) -> list[tuple[str, str]]:
    """The edges, one pair of ends each.

    Inside a chain, `node.port` may name the input or the output of the node; where it is only one
    of them, the other side is left to the ports that fit.
    """
    outputs = {f"{node.name}.{port}" for node in nodes for port in node.outputs}
    inputs = {f"{node.name}.{port}" for node in nodes for port in node.inputs}

    def side(end: str, these: set[str], others: set[str]) -> str:
        return end.partition(".")[0] if end in others - these else end

    pairs = []
    for edge in edges:
        chain = [end.strip() for end in edge.split("->")]
        for index, (source, target) in enumerate(itertools.pairwise(chain)):
            first, last = index == 0, index == len(chain) - 2
            pairs.append(
                (
                    source if first else side(source, outputs, inputs),
                    target if last else side(target, inputs, outputs),
                )
            )
    return pairs


def _with_folder(params: Mapping[str, Any], node_class: type[Node], folder: Path) -> dict[str, Any]:
    """Parameters with paths made relative to `folder`, and folders of models found there."""
    fields = node_class.Params.model_fields
    return {
        name: folder / value
        if name in fields and fields[name].annotation is Path
        else _placed(value, folder)
        for name, value in params.items()
    }


def _placed(value: Any, folder: Path) -> Any:
    """What may name a folder, with a slash in it: it may lie beside the graph file."""
    if isinstance(value, list | tuple):
        return [_placed(each, folder) for each in value]
    if (
        isinstance(value, str)
        and "/" in value
        and not Path(value).exists()
        and (folder / value).is_dir()
    ):
        return str(folder / value)
    return value
