"""Building the graph that a graph file describes."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from auricle.engine.graph import Graph
from auricle.engine.node import Node
from auricle.errors import (
    AuricleError,
    ConfigError,
    NodeError,
    did_you_mean,
    one_line,
    one_line_with_type,
)
from auricle.nodes import CLASSES
from auricle.service.graph_file import GraphFile, NodeSpec

NodeClasses = Mapping[str, str]
"""The node classes that have a short name: from that name to `module:Class`."""


def build_graph(
    file: GraphFile, folder: Path, classes: NodeClasses = CLASSES, start: int = 0
) -> Graph:
    """Build the graph that a file describes.

    Args:
        file: Graph file to build from.
        folder: Folder that paths in parameters are relative to.
        classes: Node classes that have a short name.
        start: Index of the first token of every stream; 0 except in tests.

    Raises:
        ConfigError: An unknown class, an invalid parameter, a missing model, or nodes that do not
            fit together.
        NodeError: A node cannot be made for a reason that it did not foresee.
    """
    nodes = [build_node(spec, folder, classes) for spec in file.nodes]
    return Graph(file.stream, nodes, _split_chains(file.edges, nodes), start)


def build_node(spec: NodeSpec, folder: Path, classes: NodeClasses = CLASSES) -> Node:
    """Build one node of a graph file; arguments and errors are as in `build_graph`."""
    node_class = find_class(spec.class_, classes, spec.id)
    params = _resolve_paths(spec.params, node_class, folder)
    try:
        return node_class(spec.id, **params)
    except AuricleError:
        raise
    except Exception as error:  # a node may be anybody's code
        raise NodeError(one_line_with_type(error), node=spec.id) from error


def find_class(name: str, classes: NodeClasses = CLASSES, node: str | None = None) -> type[Node]:
    """Find a node class.

    Args:
        name: Short name of the class, or `module:Class`.
        classes: Node classes that have a short name.
        node: Name of the node that needs the class, for error messages.

    Raises:
        ConfigError: The class is unknown, cannot be imported, or is not a node class.
    """
    place = classes.get(name, name)
    module_name, _, class_name = place.partition(":")
    if not class_name:
        hint = did_you_mean(name, classes)
        raise ConfigError(f"no class {name!r}{hint}; classes are: {', '.join(classes)}", node=node)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # the name may be anything, and the module anybody's code
        reason = one_line(error) if isinstance(error, ImportError) else one_line_with_type(error)
        raise ConfigError(f"class {name!r} cannot be imported: {reason}", node=node) from error
    if not (isinstance(found, type) and issubclass(found, Node)):
        raise ConfigError(f"class {name!r} is not a node", node=node)
    return found


def _split_chains(edges: list[str], nodes: list[Node]) -> list[tuple[str, str]]:
    """Split chains into pairs of ends, each `node` or `node.port`.

    In the middle of a chain, `node.port` may name an input or an output of the node. If it is only
    one of them, the port on the other side is left open, for `Graph` to choose the one that fits.
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
    """The parameters of a node, with paths and folders of models resolved in `folder`."""
    return dict(_resolved(params, node_class, folder))


def _resolved(
    params: Mapping[str, Any], node_class: type[Node], folder: Path
) -> Iterator[tuple[str, Any]]:
    fields = node_class.Params.model_fields
    for name, value in params.items():
        if name in fields and _is_path(fields[name].annotation) and isinstance(value, str | Path):
            yield name, folder / value
        else:
            yield name, _beside(value, folder)


def _is_path(annotation: Any) -> bool:
    """Whether a parameter is a `Path`, or may be left out and is one otherwise."""
    return annotation is Path or Path in get_args(annotation)


def _beside(value: Any, folder: Path) -> Any:
    """Resolve text with a slash if it names a folder beside the graph file, such as a model's."""
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
