"""Describing a stream to a display before its first message."""

from __future__ import annotations

from typing import Any

from auricle.engine.graph import Edge, Graph
from auricle.engine.node import Node


def describe_graph(graph: Graph) -> dict[str, Any]:
    """Describe the predictions that a graph makes, and its nodes.

    Returns:
        A mapping in the types of JSON. `predictions` is a list of `node` (the one that makes it),
        `head`, `model`, `model_version`, `labels`, `segment_size` and `hop_size` in frames, and
        `segment_s` and `hop_s` in seconds. `nodes`, by name, have `class`, `settings`, the names of
        `commands`, `inputs` and `outputs` with their rates in Hz, and the node's own description.
    """
    nodes = {}
    predictions = []
    for node in graph.order:
        own = node.describe()
        for each in own.pop("predictions", ()):
            predictions.append({"node": node.name, **each, **_describe_segments(graph, node)})
        nodes[node.name] = {
            "class": type(node).__name__,
            "settings": node.settings(),
            "commands": list(node.commands()),
            "inputs": _describe_inputs(graph, node),
            "outputs": _describe_outputs(node),
            **own,
        }
    return {"predictions": predictions, "nodes": nodes}


def _describe_segments(graph: Graph, node: Node) -> dict[str, Any]:
    """Length and hop of the segments from which a node computes its tokens."""
    stream = next(iter(node.outputs.values())).stream
    start, end = stream.seconds(stream.start)
    window = _find_window(graph, node)
    return {
        "segment_size": window.input.frame_size if window else 1,
        "hop_size": window.input.hop_size if window else 1,
        "segment_s": float(end - start),
        "hop_s": float(1 / stream.token_type.rate),
    }


def _find_window(graph: Graph, node: Node) -> Edge | None:
    """The nearest edge upstream of a node that is read in windows of several tokens."""
    for edge in graph.edges:
        if edge.target is node:
            several = edge.input.frame_size > 1
            return edge if several else _find_window(graph, edge.source)
    return None


def _describe_inputs(graph: Graph, node: Node) -> dict[str, list[dict[str, Any]]]:
    """The streams that each input of a node reads, by its name; sizes in tokens."""
    inputs: dict[str, list[dict[str, Any]]] = {name: [] for name in node.inputs}
    for edge in graph.edges:
        if edge.target is node:
            rate = edge.output.stream.token_type.rate
            inputs[edge.input.name].append(
                {
                    "from": f"{edge.source.name}.{edge.output.name}",
                    "frame_size": edge.input.frame_size,
                    "hop_size": edge.input.hop_size,
                    "hop_s": float(edge.input.hop_size / rate),
                }
            )
    return inputs


def _describe_outputs(node: Node) -> dict[str, dict[str, Any]]:
    """The token type, rate in Hz and axes of each output of a node, by its name."""
    outputs = {}
    for name, port in node.outputs.items():
        token_type = port.stream.token_type
        outputs[name] = {
            "type": str(token_type),
            "rate": float(token_type.rate),
            "axes": {axis.name: axis.size for axis in token_type.axes},
        }
    return outputs
