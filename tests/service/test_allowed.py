"""Sources that commands may have the engine open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auricle.engine.graph import Graph
from auricle.errors import ConfigError, WireError
from auricle.nodes.inputs.choice import input_for
from auricle.service.allowed import Allowed
from auricle.service.building import build_node
from auricle.service.graph_file import NodeSpec
from tests.service.running import REALTIME, make_service, request, write_graph
from tests.toys import Counter

ALLOWED = Allowed(schemes=("https", "mic"), folders=(Path("music"), Path("/srv/sounds")))


def graph_of(source: str, folder: Path) -> Graph:
    name, params = input_for(source, folder)
    node = NodeSpec.model_validate({"id": "input", "class": name, "params": params})
    return Graph("g", [build_node(node, folder)], [])


@pytest.mark.parametrize(
    "source",
    ["https://radio.example/a.mp3", "mic", "mic:USB", "music/a/b.mp3", "file:///srv/sounds/x.wav"],
)
def test_what_is_allowed(tmp_path: Path, source: str) -> None:
    ALLOWED.check(graph_of(source, tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("http://radio.example/a.mp3", "scheme 'http' may not be added"),
        ("concat://a", "scheme 'concat' may not be added"),
        ("zmq:tcp://127.0.0.1:5690", "scheme 'zmq' may not be added"),
        ("-", "scheme 'stdin' may not be added"),
        ("music/../secret.wav", "secret.wav: may not be added"),
        ("musical/a.mp3", "a.mp3: may not be added"),
        ("/etc/passwd", "/etc/passwd: may not be added"),
        ("file:///dev/zero", "/dev/zero: may not be added"),
        ("file:///srv/sounds/../../etc/passwd", "may not be added"),
    ],
)
def test_what_is_not_allowed(tmp_path: Path, source: str, says: str) -> None:
    with pytest.raises(ConfigError, match=r"^input: .*; the graph allows .*: ") as caught:
        ALLOWED.check(graph_of(source, tmp_path), tmp_path)
    assert says in str(caught.value)


def test_a_link_does_not_lead_out_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    (tmp_path / "secret.wav").write_bytes(b"")
    (tmp_path / "music/link.wav").symlink_to(tmp_path / "secret.wav")
    with pytest.raises(ConfigError, match="may not be added"):
        ALLOWED.check(graph_of("music/link.wav", tmp_path), tmp_path)


def test_a_source_that_does_not_say_what_it_reads() -> None:
    with pytest.raises(ConfigError, match="sources of this kind may not be added"):
        ALLOWED.check(Graph("g", [Counter("input")], []), Path())


@pytest.mark.parametrize(
    ("source", "values"),
    [("elsewhere.wav", {}), ("music/long.wav", {"input.path": "elsewhere.wav"})],
)
def test_commands_add_only_what_the_graph_allows(
    folder: Path, tmp_path: Path, source: str, values: dict[str, Any]
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for file in ("music/long.wav", "elsewhere.wav"):
        (tmp_path / file).hardlink_to(folder / "long.wav")
    path = write_graph(folder, "[]", "allow.yaml")
    path.write_text(path.read_text() + f"allow: {{folders: ['{music}']}}\n")
    with make_service(path) as service:
        address = service.server.addresses["control"]
        with pytest.raises(WireError, match=r"elsewhere.wav: may not be added by a command"):
            request(
                address,
                "add-stream",
                stream="a",
                input=str(tmp_path / source),
                values={**REALTIME, **{key: str(tmp_path / name) for key, name in values.items()}},
            )
        assert "a" not in request(address, "list")
        request(address, "add-stream", stream="a", input=str(music / "long.wav"), values=REALTIME)
        assert "a" in request(address, "list")
