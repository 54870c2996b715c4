"""Nodes to measure parts of a graph with: a source of tokens made beforehand, a sink that keeps."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.engine.graph import Graph
from auricle.engine.node import Node, Source, Status
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.reader import Reader
from auricle.engine.run import Run
from auricle.engine.scheduler import passes
from auricle.engine.sink import Sink
from auricle.engine.stream import Axis
from auricle.nodes.predictions import FLOAT32


class Replay(Source):
    """Gives `tokens`, shape `(tokens, *axes)`, `block` at a time, as fast as they are taken."""

    def __init__(
        self,
        name: str,
        tokens: NDArray[np.float32],
        axes: tuple[Axis, ...],
        rate: Fraction,
        block: int,
    ) -> None:
        super().__init__(name)
        self._tokens, self._block, self._given = tokens, block, 0
        self._out = self.add_output(
            OutputPort(
                "tokens", "Made beforehand.", FLOAT32, axes, rate, burst_s=float(2 * block / rate)
            )
        )

    def process(self) -> Status:
        stream = self._out.stream
        if self._given == len(self._tokens):
            stream.end()
            return Status.FINISHED
        written = stream.write(self._tokens[self._given : self._given + self._block], self.began_ns)
        self._given += written
        return Status.OK if written else Status.NO_ROOM


class Kept(Sink):
    """Keeps every token of one stream: copies of arrays, objects as they are.

    Args:
        name: Name of the node.
        dtype: Type of the tokens; None for arrays of any type and shape.

    Attributes:
        tokens: The tokens, in their order.
    """

    def __init__(self, name: str, dtype: np.dtype[Any] | type | None) -> None:
        super().__init__(name)
        axes = None if dtype is None else ()
        self.add_input(InputPort("tokens", "Tokens to keep.", dtype, axes=axes))
        self.tokens: list[Any] = []

    def take(self, port: InputPort, reader: Reader, count: int) -> None:
        view = reader.view(count)
        self.tokens.extend(view.copy() if view.dtype != object else view)


def run_through(nodes: Sequence[Node], edges: Sequence[tuple[str, str]]) -> Run:
    """Run a graph of `nodes` to its end; the run it returns has the ns that each node took."""
    *_, run = passes(Graph("bench", nodes, edges))
    return run
