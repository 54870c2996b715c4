"""Graph files: read, refused in one line that names the place, changed from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from auricle.engine.node import Node, NodeParams
from auricle.engine.scheduler import run_offline
from auricle.errors import ConfigError, NodeError
from auricle.service.building import build_graph
from auricle.service.graph_file import GraphFile, read_graph_file
from auricle.service.overrides import with_values
from auricle.service.schema import json_schema
from tests.toys import Sink

CLASSES = {"Counter": "tests.toys:Counter", "Sums": "tests.toys:Sums", "Sink": "tests.toys:Sink"}

GOOD = """
stream: test
nodes:
  - {id: a, class: Counter, params: {total: 50}}
  - {id: b, class: Sums}
  - {id: c, class: Sink}
edges:
  - a -> b.numbers -> c
"""


class ReadsParams(NodeParams):
    path: Path


class Reads(Node[ReadsParams]):
    """Takes a path."""


def write(folder: Path, text: str) -> Path:
    file = folder / "graph.yaml"
    file.write_text(text)
    return file


def test_graph_from_a_file(tmp_path: Path) -> None:
    graph = build_graph(read_graph_file(write(tmp_path, GOOD)), tmp_path, CLASSES)
    assert [str(edge) for edge in graph.edges] == ["a.tokens -> b.numbers", "b.sums -> c.tokens"]
    run_offline(graph)
    sink = graph.nodes["c"]
    assert isinstance(sink, Sink)
    assert len(sink.values) == 10


def test_class_of_ones_own(tmp_path: Path) -> None:
    text = GOOD.replace("class: Sums", "class: tests.toys:Sums")
    assert "b" in build_graph(read_graph_file(write(tmp_path, text)), tmp_path, CLASSES).nodes


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    spec = {
        "stream": "s",
        "nodes": [{"id": "a", "class": f"{__name__}:Reads", "params": {"path": "x/y.ogg"}}],
    }
    graph = build_graph(GraphFile.model_validate({**spec, "edges": []}), tmp_path, {})
    assert graph.nodes["a"].settings()["path"] == str(tmp_path / "x/y.ogg")


@pytest.mark.parametrize("path", [5, [], None, {}])
def test_a_path_of_another_type(tmp_path: Path, path: object) -> None:
    node = {"id": "a", "class": f"{__name__}:Reads", "params": {"path": path}}
    spec = {"stream": "test", "nodes": [node]}
    with pytest.raises(ConfigError, match=r"^a: path=.*: input is not a valid path"):
        build_graph(GraphFile.model_validate({**spec, "edges": []}), tmp_path, {})


class Unlucky(Node):
    """Cannot be made."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        raise OSError(28, "No space\nleft")


def test_a_node_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    node = {"id": "a", "class": f"{__name__}:Unlucky"}
    spec = {"stream": "test", "nodes": [node], "edges": []}
    with pytest.raises(NodeError, match=r"^a: OSError: \[Errno 28\] No space left$"):
        build_graph(GraphFile.model_validate(spec), tmp_path, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("class: Counter", "class: Countr"),
            "a: no class 'Countr' (did you mean Counter?); classes are: Counter, Sums",
        ),
        (
            ("class: Sums", "class: nowhere:Sums"),
            "b: class 'nowhere:Sums' cannot be imported: No module named 'nowhere'",
        ),
        (("class: Sums", "class: json:JSONDecoder"), "b: class 'json:JSONDecoder' is not a node"),
        (("total: 50", "totl: 50"), "a: no parameter 'totl'"),
        (("total: 50", "total: x"), "a: total='x': input should be a valid integer"),
        (("b.numbers", "b.sounds"), "b: no input 'sounds'; inputs are: numbers"),
        (("-> c", "-> d"), "no node 'd' (in an edge); nodes are: a, b, c"),
        (("a -> b.numbers -> c", "a b"), "'a b' is not of the form"),
        (("stream: test", "stream: a/b"), "stream='a/b': string should match pattern"),
        (("stream: test", "strem: test"), "no parameter 'strem'"),
        (("stream: test", "stream: [test"), "not YAML: "),
        (
            ("edges:", "wire: {publish: 3}\nedges:"),
            "wire.publish=3: input should be a valid string",
        ),
    ],
)
def test_bad_files(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(ConfigError) as caught:
        build_graph(read_graph_file(write(tmp_path, GOOD.replace(*change))), tmp_path, CLASSES)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [(b"\xff\xfe\x00", "not a text file"), (b"[1]", "not a graph")]
)
def test_files_of_another_kind(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_graph_file(tmp_path / "x.yaml")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml: No such file"):
        read_graph_file(tmp_path / "x.yaml")


def test_values_from_the_command_line(tmp_path: Path) -> None:
    file = read_graph_file(write(tmp_path, GOOD))
    changed = with_values(file, {"a.total": 20, "b.hop_size": 10})
    graph = build_graph(changed, tmp_path, CLASSES)
    assert graph.nodes["a"].settings()["total"] == 20
    assert graph.nodes["b"].settings()["hop_size"] == 10
    assert file.nodes[0].params == {"total": 50}, "the file as read is left alone"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.total", "no node 'x'; nodes are: a, b, c"),
        ("total", "'total' is not of the form node.param"),
    ],
)
def test_values_for_nobody(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_values(read_graph_file(write(tmp_path, GOOD)), {name: 1})


def test_schema_knows_every_parameter() -> None:
    schema: dict[str, Any] = json.loads(json.dumps(json_schema(CLASSES)))
    kinds = schema["properties"]["nodes"]["items"]["anyOf"]
    by_class = {kind["properties"]["class"].get("const"): kind for kind in kinds}
    assert set(by_class) == {*CLASSES, None}
    assert "breaks_at" in by_class["Counter"]["properties"]["params"]["properties"]
    assert by_class["Counter"]["properties"]["params"]["additionalProperties"] is False
