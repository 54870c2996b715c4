"""From a graph file to the graph of one stream: another source, other parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auricle.engine.node import Source
from auricle.errors import ConfigError
from auricle.nodes.inputs.choice import input_for
from auricle.nodes.inputs.file import FileInput
from auricle.service.building import find_class
from auricle.service.graph_file import GraphFile, read_graph_file
from auricle.service.stream_list import StreamSpec


def load_graph(
    path: str | Path, values: Mapping[str, Any] | None = None, source: str | None = None
) -> GraphFile:
    """Read a graph file and change it as a command line asks.

    Args:
        path: The file.
        values: Parameters to change, by `node.param`.
        source: What to listen to instead of the file's own source; see
            `auricle.nodes.inputs.choice.input_for`.

    Raises:
        ConfigError: A file or a change that cannot be used.
    """
    file = read_graph_file(Path(path))
    if source is not None:
        if file.streams is not None:
            raise ConfigError(f"{path}: it has streams of its own, so another input has no place")
        file = _with_input(file, source)
    return with_values(file, values or {})


def with_values(file: GraphFile, values: Mapping[str, Any]) -> GraphFile:
    """The same file with other parameters.

    Args:
        file: The graph file; it is left alone.
        values: Parameters to change, by `node.param`.

    Raises:
        ConfigError: A name that is not of this form, or an unknown node.
    """
    changed = {spec.id: dict(spec.params) for spec in file.nodes}
    for name, value in values.items():
        node, _, param = name.partition(".")
        if not param:
            raise ConfigError(f"{name!r} is not of the form node.param")
        if node not in changed:
            raise ConfigError(f"no node {node!r}; nodes are: {', '.join(changed)}")
        changed[node][param] = value
    nodes = [spec.model_copy(update={"params": changed[spec.id]}) for spec in file.nodes]
    return file.model_copy(update={"nodes": nodes})


def for_stream(file: GraphFile, spec: StreamSpec, folder: Path) -> GraphFile:
    """The same graph for one of its streams.

    Raises:
        ConfigError: A source or a parameter that cannot be used.
    """
    try:
        file = _with_input(file, spec.input, folder, together=True)
        file = with_values(file, spec.values)
    except ConfigError as error:
        raise ConfigError(f"stream {spec.name!r}: {error}") from None
    return file.model_copy(update={"stream": spec.name})


def _with_input(
    file: GraphFile, source: str, folder: Path = Path(), *, together: bool = False
) -> GraphFile:
    """The same graph with another source in the place of its only one; together with others, in
    real time.
    """
    sources = [
        spec for spec in file.nodes if issubclass(find_class(spec.class_, node=spec.id), Source)
    ]
    if len(sources) != 1:
        raise ConfigError(
            f"another input replaces the source of a graph that has one; this has {len(sources)}"
        )
    class_name, params = input_for(source, folder)
    if together and find_class(class_name) is FileInput:
        # At full speed it would leave the live ones no time.
        params["realtime"] = True
    kept = {name: value for name, value in sources[0].params.items() if name == "sample_rate"}
    changed = sources[0].model_copy(update={"class_": class_name, "params": {**kept, **params}})
    nodes = [changed if spec is sources[0] else spec for spec in file.nodes]
    return file.model_copy(update={"nodes": nodes})
