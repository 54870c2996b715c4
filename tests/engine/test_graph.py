"""Graphs: what fits is wired, what does not is refused in one line that names both ends."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from auricle.engine.graph import Graph
from auricle.engine.node import Node
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.stream import Axis
from auricle.engine.transform import Transform
from auricle.errors import ConfigError, GraphError
from tests.toys import FLOAT32, Counter, Sink, Sums


class Pair(Transform):
    """Two outputs, so that an edge has to name one; and a window, for latencies."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        port = self.add_input(
            InputPort("numbers", "", FLOAT32, rate=Fraction(100), frame_size=50, hop_size=25)
        )
        self.add_output(OutputPort("left", "", FLOAT32, follows=port))
        self.add_output(OutputPort("right", "", FLOAT32, follows=port))
        self.delay = Fraction(1, 8)

    @property
    def delay_s(self) -> Fraction:
        return self.delay


class Wants(Node):
    """An input of a given type."""

    def __init__(self, name: str, dtype: Any = FLOAT32, axes: Any = (), rate: Any = None) -> None:
        super().__init__(name)
        self.add_input(InputPort("in", "", dtype, axes, rate))


def test_nodes_run_after_those_they_read_from() -> None:
    graph = Graph("g", [Sink("c"), Sums("b"), Counter("a")], [("b", "c"), ("a", "b")])
    assert [node.name for node in graph.order] == ["a", "b", "c"]
    assert [str(edge) for edge in graph.edges] == ["a.tokens -> b.numbers", "b.sums -> c.tokens"]


def test_types_and_rings_follow_from_what_is_read() -> None:
    graph = Graph(
        "g",
        [Counter("a"), Sums("b", frame_size=40, hop_size=20, before=0), Sink("c")],
        [("a", "b"), ("b", "c")],
    )
    numbers, sums = graph.streams()
    assert str(sums.token_type) == "float32 1 sum at 5 Hz"
    # A window and a hop, and a second of slack.
    assert numbers.ring.capacity == 40 + 20 + 100
    assert sums.ring.capacity == 1 + 1 + 8


def test_latency_adds_up() -> None:
    graph = Graph("g", [Counter("a"), Pair("b"), Sink("c")], [("a", "b"), ("b.left", "c")])
    left = graph.nodes["b"].outputs["left"].stream
    assert left.seconds(left.start)[1] == Fraction(1, 2)
    assert graph.delay_s(left) == Fraction(1, 8)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("a", "b"), ("b", "x")], "no node 'x' (in an edge); nodes are: a, b, c"),
        ([("a.nmbers", "b")], "a: no output 'nmbers'; outputs are: tokens"),
        ([("a", "b.left")], "b: no input 'left'; inputs are: numbers"),
        (
            [("a", "b"), ("b", "c")],
            "more than one pair of ports fits, so name them; outputs are left, right",
        ),
        (
            [("a", "b"), ("b.left", "c"), ("b.right", "c")],
            "c.tokens: takes one stream only, and b.right is a second",
        ),
        ([("a", "b")], "c.tokens: nothing is connected to it"),
        ([("c", "b"), ("a", "c")], "c: has no output, and an edge needs one"),
    ],
)
def test_wrong_edges(edges: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(GraphError) as caught:
        Graph("g", [Counter("a"), Pair("b"), Sink("c")], edges)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cycle_is_written_out() -> None:
    nodes = [Counter("a"), Sums("b"), Sums("c")]
    with pytest.raises(GraphError, match=r"in a cycle: (b -> c -> b|c -> b -> c)"):
        Graph("g", nodes, [("a", "b"), ("b", "c"), ("c", "b")])


def test_two_nodes_of_one_name() -> None:
    with pytest.raises(GraphError, match="a: two nodes have this name"):
        Graph("g", [Counter("a"), Counter("a")], [])


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        ({"rate": Fraction(50)}, "a.tokens is float32 at 100 Hz; b.in takes 50 Hz, not 100 Hz"),
        ({"dtype": np.dtype(np.int16)}, "takes int16, not float32"),
        ({"axes": (Axis("mel", 96),)}, "takes tokens of 96 mel, not of single values"),
        ({"dtype": str}, "takes str, not float32"),
    ],
)
def test_ports_that_do_not_fit(wanted: dict[str, Any], refusal: str) -> None:
    with pytest.raises(GraphError) as caught:
        Graph("g", [Counter("a"), Wants("b", **wanted)], [("a", "b")])
    assert refusal.split("; b.in ")[-1] in str(caught.value)
    assert "a.tokens -> b.in" in str(caught.value)


def test_a_refusal_ends_with_what_to_do_about_it() -> None:
    wants = Wants("b", rate=Fraction(50))
    wants.inputs["in"].remedy = "; slow it down"
    with pytest.raises(GraphError, match=r"takes 50 Hz, not 100 Hz; slow it down$"):
        Graph("g", [Counter("a"), wants], [("a", "b")])


@pytest.mark.parametrize(
    ("name", "hint"),
    [("totl", " (did you mean total?)"), ("tot", " (did you mean total?)"), ("x", "")],
)
def test_unknown_parameter(name: str, hint: str) -> None:
    known = "blocks, gaps, live, rate, total, breaks_at, endless"
    with pytest.raises(ConfigError) as caught:
        Counter("a", **{name: 5})
    assert str(caught.value) == f"a: no parameter {name!r}{hint}; parameters are: {known}"


def test_wrong_parameter_names_value_and_reason() -> None:
    with pytest.raises(ConfigError, match="a: total='many': input should be a valid integer"):
        Counter("a", total="many")
