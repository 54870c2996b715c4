"""Graphs: which node reads from which, checked before anything runs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from auricle.engine.clock import SourceClock
from auricle.engine.node import Node, Source
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.stream import Lineage, Stream
from auricle.errors import GraphError

Port = TypeVar("Port", InputPort, OutputPort)

LEAST_BURST = 8
"""Tokens of slack in a ring, however low its rate."""


@dataclass(frozen=True)
class Edge:
    """One output that feeds one input."""

    source: Node
    output: OutputPort
    target: Node
    input: InputPort

    def __str__(self) -> str:
        return f"{self.source.name}.{self.output.name} -> {self.target.name}.{self.input.name}"


class Graph:
    """Nodes wired to each other, with a stream behind every output.

    Args:
        name: Name of the stream on the wire.
        nodes: The nodes, in any order.
        edges: Pairs of ends, each `node.port`, or `node` where only one pair of ports fits.
        start: Index of the first token of every stream; other than 0 in tests only.

    Attributes:
        order: The nodes, each after those it reads from.

    Raises:
        GraphError: Two nodes of one name, an unknown node or port, ports that do not fit, an input
            with no stream or too many, a cycle.
    """

    def __init__(
        self, name: str, nodes: Iterable[Node], edges: Iterable[tuple[str, str]], start: int = 0
    ) -> None:
        self.name = name
        self.nodes: dict[str, Node] = {}
        for node in nodes:
            if node.name in self.nodes:
                raise GraphError("two nodes have this name", node=node.name)
            self.nodes[node.name] = node
        pairs = list(edges)
        self.order = self._sorted(pairs)
        self.edges: list[Edge] = []
        for node in self.order:
            self._check_inputs(node)  # the nodes it reads from come before it
            node.connected()
            for source, target in pairs:
                if source.partition(".")[0] == node.name:
                    self._connect(source, target)
        for node in self.order:
            self._make_streams(node, start)

    @property
    def live(self) -> bool:
        """Whether a source keeps its own time, so that falling behind has to be made good."""
        return any(isinstance(node, Source) and node.live for node in self.order)

    def _find(self, end: str) -> Node:
        name = end.partition(".")[0]
        if name not in self.nodes:
            raise GraphError(f"no node {name!r} (in an edge); nodes are: {', '.join(self.nodes)}")
        return self.nodes[name]

    def _sorted(self, pairs: Sequence[tuple[str, str]]) -> list[Node]:
        """Topological order; among equals, as given."""
        before: dict[str, set[str]] = {name: set() for name in self.nodes}
        for source, target in pairs:
            before[self._find(target).name].add(self._find(source).name)
        order: list[Node] = []
        while before:
            ready = [name for name, needed in before.items() if not needed & before.keys()]
            if not ready:
                raise GraphError(f"these nodes wait for each other in a cycle: {_a_cycle(before)}")
            order.append(self.nodes[ready[0]])
            del before[ready[0]]
        return order

    def _connect(self, source_end: str, target_end: str) -> None:
        source, target = self._find(source_end), self._find(target_end)
        outputs = _candidates(source, source_end, "output", source.outputs, source.inputs)
        inputs = _candidates(target, target_end, "input", target.inputs, target.outputs)
        fitting = [(o, i) for o in outputs for i in inputs if i.refusal(o.token_type) is None]
        if len(outputs) == len(inputs) == 1 and not fitting:
            edge = Edge(source, outputs[0], target, inputs[0])
            offered = outputs[0].token_type
            refusal = f"the output is {offered}; the input {inputs[0].refusal(offered)}"
            raise GraphError(f"{edge}: {refusal}{inputs[0].remedy}")
        if len(fitting) != 1:
            what = "more than one pair of ports fits" if fitting else "no pair of ports fits"
            names = f"outputs are {_names(outputs)}; inputs are {_names(inputs)}"
            raise GraphError(f"{source_end} -> {target_end}: {what}, so name them; {names}")
        output, port = fitting[0]
        given = output.token_type.origin
        if port.origin and given and port.origin != given:
            edge = Edge(source, output, target, port)
            refusal = f"the input takes what {port.origin} gives, not {given}"
            raise GraphError(f"{edge}: {refusal}{port.remedy}")
        if port.offered and not port.many:
            second = f"{source.name}.{output.name}"
            raise GraphError(
                f"takes one stream only, and {second} is a second", node=target.name, port=port.name
            )
        port.offered.append(output.token_type)
        self.edges.append(Edge(source, output, target, port))

    def _check_inputs(self, node: Node) -> None:
        for port in node.inputs.values():
            if not port.offered and not port.optional:
                raise GraphError("nothing is connected to it", node=node.name, port=port.name)
        if node.inputs and not any(port.offered for port in node.inputs.values()):
            raise GraphError("nothing is connected to any of its inputs", node=node.name)

    def _make_streams(self, node: Node, start: int) -> None:
        for output in node.outputs.values():
            edges = [edge for edge in self.edges if edge.output is output]
            token_type = output.token_type
            window = max((edge.input.frame_size + edge.input.hop_size for edge in edges), default=1)
            burst_s = max([output.burst_s, *(edge.input.lag_s for edge in edges)])
            burst = max(LEAST_BURST, math.ceil(token_type.rate * Fraction(burst_s)))
            lineage = None
            if output.follows is not None:
                port = output.follows
                lineage = Lineage(port.reader.stream, port.hop_size, port.frame_size - port.before)
            name = f"{node.name}.{output.name}"
            stage = node.stage or node.name
            output.connected = Stream(
                name, token_type, window + burst, self._clock(node), lineage, start, stage
            )
            for edge in edges:
                edge.input.attach(output.connected)

    def _clock(self, node: Node) -> SourceClock:
        if isinstance(node, Source):
            return node.clock
        return next(port.readers[0].stream.clock for port in node.inputs.values() if port.readers)

    def streams(self) -> list[Stream]:
        """All streams, in the order of the nodes."""
        return [output.stream for node in self.order for output in node.outputs.values()]

    def delay_s(self, stream: Stream) -> Fraction:
        """Seconds, beyond its window, by which tokens of `stream` may be held back on the way.

        The time to compute them is not included: it is measured, not declared.
        """
        makers = {
            output.stream.name: node for node in self.order for output in node.outputs.values()
        }
        return sum(
            (makers[each.name].delay_s for each, _ in stream.ancestry(stream.start)), Fraction(0)
        )


def _candidates(
    node: Node, end: str, kind: str, ports: dict[str, Port], others: Collection[str]
) -> list[Port]:
    _, dot, name = end.partition(".")
    if not dot:
        if not ports:
            raise GraphError(f"has no {kind}, and an edge needs one", node=node.name)
        return list(ports.values())
    if name not in ports:
        known = f"{kind}s are: {', '.join(ports) or 'none'}"
        if others:  # which a name inside a chain may have meant
            known += f"; {'outputs' if kind == 'input' else 'inputs'} are: {', '.join(others)}"
        raise GraphError(f"no {kind} {name!r}; {known}", node=node.name)
    return [ports[name]]


def _names(ports: Iterable[InputPort] | Iterable[OutputPort]) -> str:
    return ", ".join(port.name for port in ports)


def _a_cycle(before: dict[str, set[str]]) -> str:
    """One cycle among nodes that each still wait for another, written out."""
    name = next(iter(before))
    path: list[str] = []
    while name not in path:
        path.append(name)
        name = sorted(before[name] & before.keys())[0]
    cycle = [*path[path.index(name) :], name]
    return " -> ".join(reversed(cycle))
