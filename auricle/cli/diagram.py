"""A graph for people to read: as text, as a Mermaid chart, or as plain data."""

from __future__ import annotations

from typing import Any

from auricle.engine.graph import Edge, Graph
from auricle.engine.node import Node
from auricle.engine.stream import Stream


def text(graph: Graph) -> str:
    """Describe a graph in plain text.

    Lists the nodes in the order in which they run, with their inputs, their outputs and the sizes
    of their rings in tokens and bytes, then the latency of each stream that a last node reads.
    """
    lines = [f"stream {graph.name}"]
    for node in graph.order:
        lines.append("")
        lines.append(f"{node.name}  {type(node).__name__}{_delay(node)}")
        for edge in graph.edges:
            if edge.target is node:
                source = f"{edge.source.name}.{edge.output.name}"
                lines.append(f"  in   {edge.input.name:<12} from {source}{_window(edge)}")
        for name, port in node.outputs.items():
            ring = f"ring {port.stream.ring.capacity} tokens, {_size(port.stream.ring.nbytes)}"
            lines.append(f"  out  {name:<12} {port.stream.token_type}; {ring}")
    total = sum(stream.ring.nbytes for stream in graph.streams())
    lines += [
        "",
        f"rings {_size(total)}",
        "",
        "latency, without the time to compute",
        *_latencies(graph),
    ]
    return "\n".join(lines)


def mermaid(graph: Graph) -> str:
    """Draw a graph as a Mermaid flow chart, which many Markdown viewers display."""
    lines = ["flowchart LR"]
    for node in graph.order:
        lines.append(f'    {node.name}["{node.name}<br/><i>{type(node).__name__}</i>"]')
    for edge in graph.edges:
        lines.append(
            f'    {edge.source.name} -->|"{edge.output.stream.token_type}"| {edge.target.name}'
        )
    return "\n".join(lines)


def description(graph: Graph) -> dict[str, Any]:
    """Describe a graph in the types of JSON.

    Returns:
        `stream`, the graph's name; `nodes` in the order in which they run, with delays in seconds;
        `edges`, with `frame_size` and `hop_size` in tokens.
    """
    return {
        "stream": graph.name,
        "nodes": [_describe_node(graph, node) for node in graph.order],
        "edges": [
            {
                "from": f"{edge.source.name}.{edge.output.name}",
                "to": f"{edge.target.name}.{edge.input.name}",
                "frame_size": edge.input.frame_size,
                "hop_size": edge.input.hop_size,
            }
            for edge in graph.edges
        ],
    }


def _describe_node(graph: Graph, node: Node) -> dict[str, Any]:
    outputs = {name: _describe_stream(graph, port.stream) for name, port in node.outputs.items()}
    return {
        "id": node.name,
        "class": type(node).__name__,
        "delay_s": float(node.delay_s),
        "outputs": outputs,
    }


def _describe_stream(graph: Graph, stream: Stream) -> dict[str, Any]:
    token_type = stream.token_type
    return {
        "type": str(token_type),
        "rate": float(token_type.rate),
        "axes": {axis.name: axis.size for axis in token_type.axes},
        "ring_tokens": stream.ring.capacity,
        "ring_bytes": stream.ring.nbytes,
        "first_after_s": float(stream.seconds(stream.start)[1] + graph.delay_s(stream)),
        "delay_s": float(graph.delay_s(stream)),
    }


def _latencies(graph: Graph) -> list[str]:
    """One line for each stream that a last node reads: its first token, its rate, its delay."""
    lines = []
    readers = {id(edge.source) for edge in graph.edges}
    read_last = [edge.output.stream for edge in graph.edges if id(edge.target) not in readers]
    for stream in dict.fromkeys(read_last):
        first = float(stream.seconds(stream.start)[1])
        every = float(1 / stream.token_type.rate)
        delay = float(graph.delay_s(stream)) * 1000
        lines.append(
            f"  {stream.name}: first after {first:.4g} s of audio, then every {every:.4g} s, "
            f"held back by at most {delay:.3g} ms"
        )
    return lines


def _window(edge: Edge) -> str:
    port = edge.input
    if (port.frame_size, port.hop_size) == (1, 1):
        return ""
    return f", {port.frame_size} tokens every {port.hop_size}"


def _delay(node: Node) -> str:
    return f", holds back {float(node.delay_s) * 1000:.3g} ms" if node.delay_s else ""


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1000:.0f} kB" if n_bytes < 1e6 else f"{n_bytes / 1e6:.1f} MB"
