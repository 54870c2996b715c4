"""What every node has from its base: typed parameters, settings, a context."""

from typing import Any

import numpy as np
import pytest
from pydantic import Field

from auricle.engine.context import OFFLINE, Context
from auricle.engine.graph import Graph
from auricle.engine.node import Node, NodeParams, P, Source
from auricle.engine.port import OutputPort
from auricle.engine.run import Run
from auricle.engine.scheduler import LiveScheduler
from auricle.engine.transform import Transform
from auricle.errors import AuricleError, ConfigError
from tests.toys import Counter, Sink


class GainParams(NodeParams):
    gain: float = Field(1.0, gt=0)


class Middle(Transform[P]):
    """A base that leaves the parameters to its subclasses."""


class Gain(Middle[GainParams]):
    """A node with parameters, by way of another base."""


class Loud(Gain):
    """A node with the parameters of its base."""


def test_parameters_are_those_of_the_type_argument() -> None:
    assert [cls.Params for cls in (Node, Source, Middle)] == [NodeParams] * 3
    assert [cls.Params for cls in (Gain, Loud)] == [GainParams] * 2
    assert Loud("loud", gain=2).params == GainParams(gain=2)
    with pytest.raises(ConfigError, match="loud: gain=0: input should be greater than 0"):
        Loud("loud", gain=0)
    with pytest.raises(ConfigError, match="sink: no parameter 'gain'"):
        Sink("sink", gain=2)


def test_settings_make_the_same_node() -> None:
    node = Gain("gain", gain=3)
    assert node.settings() == {"gain": 3.0}
    assert Gain("other", **node.settings()).params == node.params
    assert node.commands() == {}


class Live(Counter):
    """A source that keeps its own time."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.live = True


def chain(source: Source) -> Graph:
    return Graph("g", [source, Sink("sink")], [(source.name, "sink")])


def test_a_run_gives_its_nodes_their_context() -> None:
    graph = chain(Counter("a"))
    assert {node.context for node in graph.order} == {OFFLINE}
    context = Context("g", live=True)
    Run(graph, context)
    assert all(node.context is context for node in graph.order)


def test_a_live_stream_has_a_place_on_the_ladder() -> None:
    live, offline = chain(Live("a")), chain(Counter("a"))
    assert (live.live, offline.live) == (True, False)
    outlet: Any = object()
    scheduler = LiveScheduler([live, offline], outlet=outlet)
    scheduler.start()
    assert scheduler.wait(30)
    (first, second) = (graph.nodes["sink"].context for graph in (live, offline))
    assert (first.stream, first.live, first.outlet) == ("g", True, outlet)
    assert first.place is not None
    assert first.place.ladder is scheduler.ladder
    assert (second.live, second.place) == (False, None)


def test_an_output_without_a_rate_names_its_node() -> None:
    with pytest.raises(AuricleError, match=r"^gain: output 'louder' has neither a rate nor"):
        Gain("gain").add_output(OutputPort("louder", "Louder.", np.dtype(np.float32)))
