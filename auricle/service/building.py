"""Finding the classes that a graph file names, and making the graph that it describes."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from auricle.engine.graph import Graph
from auricle.engine.node import Node
from auricle.errors import ConfigError, did_you_mean
from auricle.nodes import CLASSES
from auricle.service.graph_file import GraphFile, NodeSpec

NodeClasses = Mapping[str, str]
"""Where each class of nodes is found: short name to `module:Class`."""


def build_graph(
    file: GraphFile, folder: Path, classes: NodeClasses = CLASSES, start: int = 0
) -> Graph:
    """Make the graph that a file describes.

    Args:
        file: The graph file.
        folder: Folder that paths in parameters are relative to.
        classes: Classes that have a short name.
        start: Index at which every stream begins. Zero but in tests.

    Raises:
        ConfigError: An unknown class or parameter, or nodes that do not fit each other.
    """
    nodes = [build_node(spec, folder, classes) for spec in file.nodes]
    return Graph(file.stream, nodes, _split_chains(file.edges, nodes), start)


def build_node(spec: NodeSpec, folder: Path, classes: NodeClasses = CLASSES) -> Node:
    """Make one node of a graph file. Arguments and errors are those of `build_graph`."""
    node_class = find_class(spec.class_, classes, spec.id)
    return node_class(spec.id, **_resolve_paths(spec.params, node_class, folder))


def find_class(name: str, classes: NodeClasses = CLASSES, node: str | None = None) -> type[Node]:
    """The class of nodes with the short name `name`, or found at `module:Class`.

    Args:
        name: As a graph file has it.
        classes: Classes that have a short name.
        node: Name of the node that it is for, for the error message.

    Raises:
        ConfigError: An unknown class, one that cannot be imported, or not one of nodes.
    """
    place = classes.get(name, name)
    module_name, _, class_name = place.partition(":")
    if not class_name:
        hint = did_you_mean(name, classes)
        raise ConfigError(f"no class {name!r}{hint}; classes are: {', '.join(classes)}", node=node)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"class {name!r} cannot be imported: {error}", node=node) from error
    if not (isinstance(found, type) and issubclass(found, Node)):
        raise ConfigError(f"class {name!r} is not a node", node=node)
    return found


def _split_chains(edges: list[str], nodes: list[Node]) -> list[tuple[str, str]]:
    """The edges as pairs of ends, each `node` or `node.port`.

    Inside a chain, `node.port` may name the input or the output of the node; where it is only one
    of them, the other side is left to the ports that fit.
    """
    outputs = {f"{node.name}.{port}" for node in nodes for port in node.outputs}
    inputs = {f"{node.name}.{port}" for node in nodes for port in node.inputs}
    pairs = []
    for edge in edges:
        chain = [end.strip() for end in edge.split("->")]
        last = len(chain) - 2
        for index, (source, target) in enumerate(itertools.pairwise(chain)):
            if index > 0 and source in inputs - outputs:
                source = source.partition(".")[0]
            if index < last and target in outputs - inputs:
                target = target.partition(".")[0]
            pairs.append((source, target))
    return pairs


def _resolve_paths(
    params: Mapping[str, Any], node_class: type[Node], folder: Path
) -> dict[str, Any]:
    """Parameters with paths made relative to `folder`, and folders of models found there."""
    return dict(_resolved(params, node_class, folder))


def _resolved(
    params: Mapping[str, Any], node_class: type[Node], folder: Path
) -> Iterator[tuple[str, Any]]:
    fields = node_class.Params.model_fields
    for name, value in params.items():
        if name in fields and fields[name].annotation is Path:
            yield name, folder / value
        else:
            yield name, _beside(value, folder)


def _beside(value: Any, folder: Path) -> Any:
    """Text with a slash in it may name a folder, which may lie beside the graph file."""
    if isinstance(value, list | tuple):
        return [_beside(each, folder) for each in value]
    if (
        isinstance(value, str)
        and "/" in value
        and not Path(value).exists()
        and (folder / value).is_dir()
    ):
        return str(folder / value)
    return value
