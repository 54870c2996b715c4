"""The control socket: what it answers, and commands of nodes in all streams or in none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from auricle.errors import ConfigError, WireError
from auricle.nodes.backbone import Backbone
from auricle.service.graph_file import GraphFile
from auricle.service.service import Service
from tests.service.running import REALTIME, make_service, names, request, write_graph
from tests.tiny import LABELS, make_head, make_transformer


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("add-stream", {"stream": "a b", "input": "a.wav"}, "name='a b'"),
        ("add-stream", {"stream": "x", "input": "zmq:nowhere"}, "stream 'x': input 'zmq:nowhere'"),
        (
            "add-stream",
            {"stream": "x", "input": "a.wav", "values": {"mel.hop": 3}},
            "no parameter 'hop'",
        ),
        (
            "add-stream",
            {"stream": "x", "input": "a.wav", "values": {"lem.hop": 3}},
            "no node 'lem'",
        ),
        ("add-stream", {"stream": "here", "input": "a.wav"}, "there is a stream 'here' already"),
        ("add-stream", {"stream": "x"}, "missing a required argument: 'input'"),
        ("remove-stream", {"stream": "x"}, "no stream 'x'; streams are: here"),
        ("stop", {"stream": "her"}, "no stream 'her' (did you mean here?); streams are: here"),
        ("describe", {"stream": 3}, "stream=3"),
        ("tune", {}, "no command 'tune'; commands are: add-stream, describe, list"),
    ],
)
def test_bad_requests_change_nothing(
    folder: Path, command: str, arguments: dict[str, Any], message: str
) -> None:
    streams = "[{name: here, input: long.wav, values: {input.realtime: true}}]"
    with make_service(write_graph(folder, streams)) as service:
        address = service.server.addresses["control"]
        with pytest.raises(WireError) as caught:
            request(address, command, **arguments)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert list(request(address, "list")) == ["here"]


# -- commands of any node --------------------------------------------------------------------------


@pytest.fixture
def tunable() -> Service:
    """A service that runs nodes with commands for streams `x` and `y`, the first without limits."""
    nodes = [
        {"id": "input", "class": "FileInput", "params": {"path": "a.wav"}},
        {"id": "left", "class": "tests.service.tunable:Tunable"},
        {"id": "right", "class": "tests.service.tunable:Tunable", "params": {"gain": 2}},
    ]
    streams = [
        {"name": "x", "input": "-", "values": {"left.limit": 99, "right.limit": 99}},
        {"name": "y", "input": "-"},
    ]
    edges = ["input -> left", "input -> right"]
    content = {"stream": "test", "nodes": nodes, "edges": edges, "streams": streams}
    return Service(GraphFile.model_validate(content), Path())


def gains(service: Service) -> dict[str, list[int]]:
    return {
        run.graph.name: [run.graph.nodes[name].settings()["gain"] for name in ("left", "right")]
        for run in service.runs
    }


def test_a_command_goes_to_every_node_that_offers_it(tunable: Service) -> None:
    command = tunable.control.command
    assert command("tune", gain=5) == {"x": {"left": 1, "right": 2}, "y": {"left": 1, "right": 2}}
    assert gains(tunable) == {"x": [5, 5], "y": [5, 5]}
    assert command("tune", stream="y", gain=7) == {"y": {"left": 5, "right": 5}}
    tunable.add_stream("z", "-")
    assert gains(tunable) == {"x": [5, 5], "y": [7, 7], "z": [5, 5]}, "as for all, not as for one"


def test_it_changes_all_or_none(tunable: Service) -> None:
    with pytest.raises(ConfigError, match="left: gain=50 is above 10"):
        tunable.control.command("tune", gain=50)
    assert gains(tunable) == {"x": [1, 2], "y": [1, 2]}
    tunable.add_stream("z", "-")
    assert gains(tunable)["z"] == [1, 2]
    assert tunable.control.command("tune", stream="x", gain=50)


def test_nodes_with_nothing_to_change_are_no_fault_as_long_as_one_has(tunable: Service) -> None:
    command = tunable.control.command
    command("tune", stream="x", gain=0)
    assert command("mute") == {"y": {"left": 1, "right": 2}}
    assert gains(tunable) == {"x": [0, 0], "y": [0, 0]}
    with pytest.raises(ConfigError, match="left: silent already"):
        command("mute")
    command("tune", stream="x", gain=3)
    assert command("mute") == {"x": {"left": 3, "right": 3}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "missing a required argument: 'gain'"),
        ({"gain": 1, "colour": "red"}, "unexpected keyword argument 'colour'"),
        ({"gain": "loud"}, "gain='loud': Expected `int`, got `str`"),
    ],
)
def test_arguments_are_checked_against_the_signature(
    tunable: Service, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(WireError) as caught:
        tunable.control.command("tune", **arguments)
    assert message in str(caught.value)
    assert gains(tunable) == {"x": [1, 2], "y": [1, 2]}


def test_describe_says_what_a_command_takes(tunable: Service) -> None:
    commands = tunable.control.describe()["commands"]
    assert commands["tune"]["about"] == "Change the gain."
    assert list(commands["tune"]["arguments"]) == ["gain", "stream"]
    gain = commands["tune"]["arguments"]["gain"]
    assert (gain["about"], gain["required"]) == ("The new one, up to the limit.", True)
    assert commands["tune"]["arguments"]["stream"]["required"] is False
    assert list(commands["mute"]["arguments"]) == ["stream"]
    assert {"list", "describe", "add-stream", "remove-stream", "statistics", "stop"} <= set(
        commands
    )


# -- heads -----------------------------------------------------------------------------------------


def test_heads_are_for_all_streams_or_none(folder: Path) -> None:
    make_head(folder / "mood")
    make_head(folder / "genre")
    mood, genre = str(folder / "mood"), str(folder / "genre")
    streams = "[{name: x, input: long.wav}, {name: y, input: long.wav}]"
    path = write_graph(folder, streams, "heads.yaml")
    text = path.read_text().replace("edges:", "  - {id: heads, class: Heads}\nedges:")
    text = text.replace(
        "  - input ->", "  - backbone.embeddings -> heads -> publish.predictions\n  - input ->"
    )
    path.write_text(text)

    def heads() -> dict[str, list[str]]:
        said = request(address, "statistics")
        return {name: stream["nodes"]["heads"]["heads"] for name, stream in said.items()}

    with make_service(path) as service:
        address = service.server.addresses["control"]
        assert request(address, "add-head", head=mood, stream="y") == {"y": {"heads": "mood"}}
        with pytest.raises(WireError, match="there is a head 'mood' already"):
            request(address, "add-head", head=mood)
        assert heads() == {"x": [], "y": ["mood"]}
        added = request(address, "add-head", head=genre)
        assert added == {"x": {"heads": "genre"}, "y": {"heads": "genre"}}
        request(address, "add-stream", stream="z", input="long.wav")
        assert heads() == {"x": ["genre"], "y": ["mood", "genre"], "z": ["genre"]}
        removed = request(address, "remove-head", head="genre")
        assert removed == {name: {"heads": "genre"} for name in "xyz"}
        with pytest.raises(WireError, match="no head 'genre'"):
            request(address, "remove-head", head="genre")
        request(address, "add-stream", stream="w", input="long.wav")
        assert heads() == {"x": [], "y": ["mood"], "z": [], "w": []}
        # Without any stream, and with a head whose folder is gone.
        request(address, "add-head", head=genre, stream="x")
        for name in "xyzw":
            request(address, "remove-stream", stream=name)
        assert service.streams.wait_for(lambda: not service.streams.all, 20)
        assert request(address, "add-head", head=genre) == {}
        request(address, "add-stream", stream="v", input="long.wav")
        assert heads() == {"v": ["genre"]}
        shutil.rmtree(genre)
        assert request(address, "remove-head", head="genre") == {"v": {"heads": "genre"}}
        request(address, "add-stream", stream="u", input="long.wav")
        assert heads() == {"v": [], "u": []}


# -- patches ---------------------------------------------------------------------------------------

MIXED = """
stream: template
nodes:
  - {id: input, class: FileInput, params: {path: long.wav}}
  - {id: mel, class: MelSpectrogram}
  - {id: one, class: Backbone, params: {model: PATCHES, kind: one}}
  - {id: two, class: Backbone, params: {model: PATCHES, kind: two}}
  - {id: plain, class: Backbone, params: {model: PLAIN}}
  - {id: publish, class: Publisher}
edges:
  - input -> mel -> one.predictions -> publish.predictions
  - mel -> two.predictions -> publish.predictions
  - mel -> plain.predictions -> publish.predictions
wire: {publish: "tcp://127.0.0.1:*", control: "tcp://127.0.0.1:*"}
streams: []
"""


@pytest.fixture
def mixed(folder: Path, tmp_path: Path) -> Path:
    """A graph with two transformers and another model."""
    transformer = make_transformer(tmp_path / "patches")
    path = tmp_path / "mixed.yaml"
    path.write_text(
        MIXED.replace("PATCHES", str(transformer)).replace("PLAIN", str(folder / "tiny"))
    )
    return path


def levels(service: Service, name: str) -> list[tuple[str, ...]]:
    (run,) = [run for run in service.runs if run.graph.name == name]
    nodes = [run.graph.nodes[node] for node in ("one", "two")]
    return [tuple(map(str, node.levels.allowed)) for node in nodes if isinstance(node, Backbone)]


def test_patches_are_left_out_by_all_transformers_and_no_other_model(
    folder: Path, mixed: Path
) -> None:
    sound = str(folder / "long.wav")
    with make_service(mixed) as service:
        address = service.server.addresses["control"]
        with pytest.raises(
            WireError, match="no patchout level 'most'; levels are: full, half, least"
        ):
            request(address, "patchout", patchout="most")
        assert request(address, "patchout", patchout="half") == {}, "for streams that come later"
        request(address, "add-stream", stream="a", input=sound, values=REALTIME)
        assert levels(service, "a") == [("half",), ("half",)]
        assert request(address, "patchout", patchout="least") == {
            "a": {"one": ["least"], "two": ["least"]}
        }
        assert levels(service, "a") == [("least",), ("least",)]
        with pytest.raises(WireError, match="no patchout level 'most'"):
            request(address, "patchout", patchout="most")
        request(address, "add-stream", stream="b", input=sound, values=REALTIME)
        assert levels(service, "a") == levels(service, "b") == [("least",), ("least",)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"adaptive": "banana"}, "adaptive='banana': Expected `bool | null`, got `str`"),
        ({"adaptive": [1]}, "adaptive=[1]: Expected `bool | null`, got `array`"),
        ({"patchout": []}, "patchout=[]: Expected `str | object | null`, got `array`"),
        ({"patchout": 0}, "patchout=0: Expected `str | object | null`, got `int`"),
        (
            {"patchout": {"keep_every": 0}},
            "one: patchout.keep_every=0: input should be greater than",
        ),
        ({"patchout": {"keep_evry": 2}}, "one: no parameter 'patchout.keep_evry'"),
        (
            {"patchout": "least"},
            "one: tiny: no level is cheaper than least, and adaptive needs one; "
            "set adaptive: false too (auricle control: --fixed)",
        ),
    ],
)
def test_an_invalid_patchout_changes_nothing(
    folder: Path, mixed: Path, arguments: dict[str, Any], message: str
) -> None:
    with make_service(mixed) as service:
        address = service.server.addresses["control"]
        request(address, "add-stream", stream="a", input=str(folder / "long.wav"), values=REALTIME)
        before = request(address, "patchout", patchout="half", adaptive=True, stream="a")
        for stream in ("a", None):
            with pytest.raises(WireError) as caught:
                request(address, "patchout", **arguments, stream=stream)
            assert message in str(caught.value)
            assert "\n" not in str(caught.value)
        assert request(address, "patchout", stream="a") == before


# -- descriptions ----------------------------------------------------------------------------------


def test_describe_says_what_a_display_needs_before_the_first_message(folder: Path) -> None:
    make_head(folder / "taste")
    streams = "[{name: x, input: long.wav}, {name: y, input: long.wav}]"
    path = write_graph(folder, streams, "described.yaml")
    heads = f"  - {{id: heads, class: Heads, params: {{heads: [{folder}/taste]}}}}\nedges:"
    text = path.read_text().replace("edges:", heads)
    text = text.replace(
        "  - input ->", "  - backbone.embeddings -> heads -> publish.predictions\n  - input ->"
    )
    path.write_text(text)
    service = make_service(path)
    service.server.start()
    address = service.server.addresses["control"]
    assert list(request(address, "describe")["streams"]) == names(service)
    answer = request(address, "describe", stream="x")
    service.stop()
    assert list(answer["streams"]) == ["x"]
    described = answer["streams"]["x"]
    segments = {"segment_size": 40, "hop_size": 13, "segment_s": 0.64, "hop_s": 0.208}
    tags, taste = described["predictions"]
    assert {name: tags[name] for name in segments} == pytest.approx(segments)
    assert {name: taste[name] for name in segments} == pytest.approx(segments)
    assert (tags["node"], tags["head"], tags["model"]) == ("backbone", "tags", "tiny")
    assert tags["labels"] == list(LABELS)
    assert tags["model_version"]
    assert (taste["node"], taste["head"], len(taste["labels"])) == ("heads", "taste", 2)
    nodes = described["nodes"]
    assert nodes["backbone"]["class"] == "Backbone"
    assert nodes["backbone"]["settings"]["threads"] == 1
    assert nodes["heads"]["commands"] == ["add-head", "remove-head"]
    (mel,) = nodes["backbone"]["inputs"]["mel"]
    assert (mel["from"], mel["frame_size"], mel["hop_size"]) == ("mel.mel", 40, 13)
    assert "add-head" in answer["commands"]
