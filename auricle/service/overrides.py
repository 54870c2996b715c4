"""Changing a graph file: its parameters, its source, its addresses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from auricle.engine.node import Source
from auricle.errors import ConfigError, describe_invalid, did_you_mean
from auricle.nodes.inputs.choice import input_for
from auricle.service.building import find_class
from auricle.service.graph_file import GraphFile, read_graph_file
from auricle.service.stream_list import StreamSpec
from auricle.wire.settings import WireSpec

WIRE = "wire"
"""Prefix of the settings that are addresses of the graph, not parameters of a node."""


def load_graph(
    path: str | Path, values: Mapping[str, Any] | None = None, source: str | None = None
) -> GraphFile:
    """Read a graph file and apply the changes of a command line.

    Args:
        path: Path of the graph file.
        values: Parameters to change, by `node.param`, and addresses, by `wire.name`.
        source: Source to listen to instead of the file's own, in a form that
            `auricle.nodes.inputs.choice.input_for` reads.

    Raises:
        ConfigError: The file or a change is invalid.
    """
    file = read_graph_file(Path(path))
    if source is not None:
        if file.streams is not None:
            raise ConfigError(f"{path}: another input cannot replace the streams of this graph")
        file = _with_input(file, source)
    values = dict(values or {})
    addresses = {}
    if all(spec.id != WIRE for spec in file.nodes):
        addresses = {name: values.pop(name) for name in list(values) if _is_address(name)}
    return _with_addresses(with_values(file, values), addresses)


def with_values(file: GraphFile, values: Mapping[str, Any]) -> GraphFile:
    """Copy a graph file with other parameters.

    Args:
        file: Graph file to copy.
        values: Parameters to change, by `node.param`.

    Raises:
        ConfigError: A name is not of this form, or names an unknown node.
    """
    changed: dict[str, dict[str, Any]] = {spec.id: {} for spec in file.nodes}
    for name, value in values.items():
        node, _, param = name.partition(".")
        if not param:
            raise ConfigError(f"{name!r} is not of the form node.param")
        if node not in changed:
            hint = did_you_mean(node, changed)
            raise ConfigError(f"no node {node!r}{hint}; nodes are: {', '.join(changed)}")
        changed[node][param] = value
    return with_settings(file, changed)


def for_stream(file: GraphFile, spec: StreamSpec, folder: Path) -> GraphFile:
    """Copy a graph file for one of its streams.

    Args:
        file: Graph file to copy.
        spec: Stream to run the graph for.
        folder: Folder that the path of a source is relative to.

    Raises:
        ConfigError: The source or a parameter is invalid; the message names the stream.
    """
    try:
        file = _with_input(file, spec.input, folder, among_others=True)
        file = with_values(file, spec.values)
    except ConfigError as error:
        raise ConfigError(f"stream {spec.name!r}: {error}") from None
    return file.model_copy(update={"stream": spec.name})


def with_settings(file: GraphFile, settings: Mapping[str, Mapping[str, Any]]) -> GraphFile:
    """Copy a graph file with other parameters, by node and parameter; the others are kept."""
    nodes = [
        spec.model_copy(update={"params": {**spec.params, **settings.get(spec.id, {})}})
        for spec in file.nodes
    ]
    return file.model_copy(update={"nodes": nodes})


def _with_input(
    file: GraphFile, source: str, folder: Path = Path(), *, among_others: bool = False
) -> GraphFile:
    """Copy a graph file with another source in place of its only one.

    Args:
        file: Graph file to copy.
        source: Source to listen to.
        folder: Folder that the path of a file is relative to.
        among_others: Whether other streams run beside this one.
    """
    sources = [spec for spec in file.nodes if _source_class(spec.class_, spec.id)]
    if len(sources) != 1:
        raise ConfigError(
            f"another input replaces the only source of a graph; this graph has {len(sources)}"
        )
    (old,) = sources
    class_name, params = input_for(source, folder)
    new_class = _source_class(class_name, old.id)
    assert new_class is not None
    kept = {name: old.params[name] for name in new_class.carried_over & old.params.keys()}
    beside = new_class.among_others if among_others else {}
    changed = old.model_copy(update={"class_": class_name, "params": {**kept, **beside, **params}})
    nodes = [changed if spec is old else spec for spec in file.nodes]
    return file.model_copy(update={"nodes": nodes})


def _source_class(name: str, node: str) -> type[Source] | None:
    """The node class of a name; None if it is not a source."""
    found = find_class(name, node=node)
    return found if issubclass(found, Source) else None


def _is_address(name: str) -> bool:
    return name.partition(".")[0] == WIRE


def _with_addresses(file: GraphFile, values: Mapping[str, Any]) -> GraphFile:
    """Copy a graph file with other addresses, by `wire.name`."""
    given = {name.partition(".")[2]: value for name, value in values.items()}
    try:
        wire = WireSpec.model_validate({**dict(file.wire), **given})
    except ValidationError as error:
        raise ConfigError(describe_invalid(error, WIRE, model=WireSpec)) from None
    return file.model_copy(update={"wire": wire})
