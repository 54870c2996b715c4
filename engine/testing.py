"""For tests of nodes: a source that plays tokens, a sink that keeps them, and checks of promises.

Every node promises that its tokens depend neither on how its input is cut into blocks, nor on the
index at which streams start, nor on whether the run is live. `check_promises` checks that. `play`
runs a node by itself, for tests of what it computes::

    outputs = play(Loudness("loudness"), samples, rate=16000)
    assert outputs["level"].tokens[0] == pytest.approx(-23)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypeVar

from auricle.engine.graph import Graph
from auricle.engine.marks import Gap, Mark, Skip
from auricle.engine.node import Node, NodeParams, Source, Status
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.reader import Reader
from auricle.engine.scheduler import LiveScheduler, run_offline
from auricle.engine.sink import Sink
from auricle.engine.stream import Axis
from auricle.errors import AuricleError

CUTS: Sequence[tuple[int, ...]] = ((1,), (7,), (256,), (4096,), (10**9,), (3, 5000, 1, 255, 700))
"""Sizes of the blocks, in tokens, that a stream is cut into, in turn: single tokens, a prime,
powers of two, everything in one block, mixed."""

STARTS = (0, 2**31 - 5, 2**53)
"""Indices at which streams start: 0, and where indices, as after days, no longer fit into 32 bits
or into a double."""

PATIENCE_S = 60.0
"""Most seconds that a live run may take."""

Place = tuple[int, int, str]
"""A gap: the number of its first token, from 0, how many tokens it has, and its reason."""


class PlayerParams(NodeParams):
    """Parameters of `Player`."""

    blocks: tuple[int, ...] = Field((1024,), description="Sizes of the blocks, tokens, in turn.")
    gaps: tuple[Place, ...] = Field((), description="Gaps, in the order of time.")
    live: bool = Field(False, description="Whether it claims to keep its own time.")
    rate: Fraction = Field(Fraction(16000), description="Tokens a second.")


PlayerP = TypeVar("PlayerP", bound=PlayerParams, covariant=True, default=PlayerParams)


class Player(Source[PlayerP]):
    """Plays tokens in blocks, some of which are gaps, as fast as they are taken.

    Args:
        name: Name of the node.
        tokens: Tokens to play, shape `(tokens, *axes)`; objects as an array of objects. Numbers
            that lie in a gap are played as zeros.
        blocks: Sizes of the blocks, in tokens, in turn.
        gaps: Gaps, in the order of time.
        live: Whether it claims to keep its own time.
        dtype: Type of the tokens; the array's, if left out.
        axes: Named axes of a token; found from the shape, if left out.
        params: Other parameters.

    Attributes:
        tokens: Copy of the tokens to play, with zeros in the gaps.
        given: Number of tokens played so far.
        output: Port of the tokens.
    """

    burst_s: ClassVar[float] = 4.0
    """Seconds of tokens that can wait in the ring."""

    def __init__(
        self,
        name: str,
        tokens: NDArray[Any],
        blocks: Sequence[int] = (1024,),
        gaps: Sequence[Place] = (),
        live: bool = False,
        *,
        dtype: np.dtype[Any] | type | None = None,
        axes: tuple[Axis, ...] | None = None,
        **params: Any,
    ) -> None:
        super().__init__(name, blocks=tuple(blocks), gaps=tuple(gaps), live=live, **params)
        if axes is None:
            axes = tuple(Axis(f"axis {n}", size) for n, size in enumerate(tokens.shape[1:]))
        rate, kind = self.params.rate, tokens.dtype if dtype is None else dtype
        self.output = self.add_output(
            OutputPort("tokens", "What is played.", kind, axes, rate, burst_s=self.burst_s)
        )
        # Samples of a source have a whole rate. A token takes several, where its own is not whole.
        self.clock.sample_rate = rate.numerator
        self.live = self.params.live
        self.tokens = tokens.copy()
        if tokens.dtype != object:
            for first, count, _ in gaps:
                self.tokens[first : first + count] = 0
        self.given = 0
        self._calls = 0
        self._gaps = list(self.params.gaps)

    def next_block(self, most: int) -> NDArray[Any]:
        """The next tokens, shape `(tokens, *axes)`: at most `most`, and 0 at the end."""
        return self.tokens[self.given : self.given + most]

    def process(self) -> Status:
        stream = self.output.stream
        blocks = self.params.blocks
        block = self.next_block(blocks[self._calls % len(blocks)])
        self._calls += 1
        if not len(block):
            stream.end()
            return Status.FINISHED
        block = block[: stream.room()]
        while self._gaps and self._gaps[0][0] < self.given + len(block):
            stream.mark(self._gap(*self._gaps.pop(0)))
        self.given += stream.write(block, self.began_ns)
        self.clock.observe(self.given * self.params.rate.denominator, self.began_ns)
        return Status.OK if len(block) else Status.NO_ROOM

    def _gap(self, first: int, count: int, reason: str) -> Gap:
        start, samples = self.output.stream.start, self.params.rate.denominator
        source = (first * samples, (first + count) * samples)
        return Gap(start + first, start + first + count, reason, source)


class Recorder(Sink):
    """Keeps every token of one stream, and every mark.

    Args:
        name: Name of the node.
        dtype: Type of the tokens; arrays of any kind, if left out.
        params: Parameters of a subclass.

    Attributes:
        port: Port of the tokens.
        tokens: Tokens that were not skipped, by number from 0: copies of arrays, objects as they
            are.
        marks: Gaps and skips, in the order in which they came; their places are indices.
    """

    def __init__(self, name: str, dtype: np.dtype[Any] | type | None = None, **params: Any) -> None:
        super().__init__(name, **params)
        self.port = self.add_input(
            InputPort("tokens", "What is kept.", dtype, axes=None if dtype is None else ())
        )
        self.tokens: dict[int, Any] = {}
        self.marks: list[Mark] = []

    def take(self, port: InputPort, reader: Reader, count: int) -> None:
        for row, token in enumerate(reader.view(count)):
            kept = token.copy() if isinstance(token, np.ndarray) else token
            self.tokens[reader.number + row] = kept

    def marked(self, port: InputPort, reader: Reader, mark: Mark) -> None:
        self.marks.append(mark)

    def places(self, kind: type[Mark]) -> set[tuple[int, str]]:
        """The tokens that marks of one kind touch.

        Args:
            kind: `Gap` or `Skip`.

        Returns:
            The number of each token, from 0, with the reason.
        """
        start = self.port.reader.stream.start
        return {
            (index - start, mark.reason)
            for mark in self.marks
            if isinstance(mark, kind)
            for index in range(mark.start, mark.stop)
        }


def play(
    node: Node,
    tokens: NDArray[Any],
    blocks: Sequence[int] = (1024,),
    gaps: Sequence[Place] = (),
    *,
    rate: Fraction | int = 16000,
    start: int = 0,
    live: bool = False,
) -> dict[str, Recorder]:
    """Play tokens through a node with one input.

    Args:
        node: Node to test; it is started, run to the end, and stopped.
        tokens: Tokens for its input, shape `(tokens, *axes)`; see `Player`.
        blocks: Sizes of the blocks, in tokens, in turn.
        gaps: Gaps, in the order of time.
        rate: Tokens a second, where the node's input does not fix a rate.
        start: Index at which every stream starts.
        live: Whether it runs on the live scheduler, as fast as the node can.

    Returns:
        The tokens and marks of each output, by its name.

    Raises:
        AuricleError: The error that stopped the graph.
    """
    (port,) = node.inputs.values()
    player = Player(
        "player",
        tokens,
        blocks,
        gaps,
        live,
        rate=port.rate or rate,
        dtype=port.dtype,
        axes=port.axes,
    )
    recorders = {}
    for name, output in node.outputs.items():
        dtype = None if isinstance(output.dtype, np.dtype) else output.dtype
        recorders[name] = Recorder(f"recorder-{name}", dtype)
    edges = [(player.name, f"{node.name}.{port.name}")]
    edges += [(f"{node.name}.{name}", recorder.name) for name, recorder in recorders.items()]
    graph = Graph("test", [player, node, *recorders.values()], edges, start)
    run_live(graph) if live else run_offline(graph)
    return recorders


def run_live(graph: Graph) -> None:
    """Run `graph` to its end on the live scheduler.

    Raises:
        AuricleError: The error that stopped the graph, or it has not ended in `PATIENCE_S` seconds.
    """
    scheduler = LiveScheduler([graph])
    scheduler.start()
    try:
        if not scheduler.wait(PATIENCE_S):
            raise AuricleError(f"graph {graph.name!r} has not ended after {PATIENCE_S:g} s")
    finally:
        scheduler.close()
    (run,) = scheduler.runs
    if run.error is not None:
        raise run.error


def check_promises(
    make: Callable[[], Node],
    tokens: NDArray[Any],
    gaps: Sequence[Place] = (),
    *,
    rate: Fraction | int = 16000,
    same: Callable[[Any, Any], object] = np.array_equal,
) -> dict[str, Recorder]:
    """Check that a node gives the same however its input is cut, wherever it starts, and live.

    Args:
        make: Function that makes the node; called again for every run.
        tokens: Tokens for its input, shape `(tokens, *axes)`; see `Player`.
        gaps: Gaps, in the order of time.
        rate: Tokens a second, where the node's input does not fix a rate.
        same: Function that compares two tokens; to the bit, if left out.

    Returns:
        The tokens and marks of each output, by its name.

    Raises:
        AssertionError: The node breaks a promise; the message names the first token that differs.
    """
    whole = play(make(), tokens, (10**9,), gaps, rate=rate)
    for start in STARTS:
        for blocks in CUTS:
            found = play(make(), tokens, blocks, gaps, rate=rate, start=start)
            _compare(whole, found, same, f"blocks {blocks}, start {start}")
    found = play(make(), tokens, (320,), gaps, rate=rate, live=True)
    _compare(whole, found, same, "live")
    return whole


def _compare(
    whole: Mapping[str, Recorder],
    found: Mapping[str, Recorder],
    same: Callable[[Any, Any], object],
    how: str,
) -> None:
    for name, expected in whole.items():
        recorder = found[name]
        assert recorder.tokens.keys() == expected.tokens.keys(), f"{name}, {how}: other tokens"
        for kind in (Gap, Skip):
            assert recorder.places(kind) == expected.places(kind), f"{name}, {how}: other marks"
        for number, token in expected.tokens.items():
            assert same(recorder.tokens[number], token), f"{name}, {how}: token {number} differs"
