"""`auricle graph`: what is checked, and what is shown."""

import json
import shutil
from pathlib import Path

import pytest

from auricle.cli.graph_copy import copy_graph
from auricle.cli.graph_names import SHIPPED, find_graph, shipped_graphs
from auricle.errors import ConfigError
from auricle.nodes.heads import Heads
from auricle.service.building import build_graph
from auricle.service.graph_file import read_graph_file
from auricle.service.schema import json_schema
from auricle.service.stream_list import list_streams
from tests.cli.command import assert_one_line, auricle
from tests.conftest import ROOT
from tests.tiny import make_backbone

GRAPH = """
stream: test
nodes:
  - {id: input, class: FileInput, params: {path: sound.wav}}
  - {id: mel, class: MelSpectrogram}
  - {id: backbone, class: Backbone, params: {model: MODEL}}
  - {id: publish, class: Publisher}
edges:
  - input -> mel -> backbone.predictions -> publish
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_backbone(tmp_path_factory.mktemp("models") / "tiny")


def write(folder: Path, model: Path, *changes: tuple[str, str]) -> Path:
    text = GRAPH.replace("MODEL", str(model))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "graph.yaml").write_text(text)
    return folder / "graph.yaml"


def test_good_graph(tmp_path: Path, model: Path) -> None:
    result = auricle("graph", "check", write(tmp_path, model))
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("graph.yaml: ok, 4 nodes, 3 edges\n")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            ("class: MelSpectrogram", "class: Mell"),
            ["mel: no class 'Mell'", "classes are: FileInput"],
        ),
        (
            ("{path: sound.wav}", "{pth: sound.wav}"),
            ["input: ", "no parameter 'pth'", "parameter 'path' is missing"],
        ),
        (
            ("mel -> backbone", "mel.mell -> backbone"),
            ["mel: no input 'mell'; inputs are: audio; outputs are: mel"],
        ),
        (
            ("input -> mel", "input -> mel\n  - input.audio -> publish.events\n  - mel"),
            ["input.audio -> publish.events", "takes Events, not float32"],
        ),
        (
            ("class: MelSpectrogram", "class: MelSpectrogram, params: {front_end: vggish}"),
            ["mel_vggish", "mel_musicnn"],
        ),
        (("edges:", "edges:\n  - backbone.embeddings -> mel"), ["cycle", "mel -> backbone -> mel"]),
        (("MODEL", "musicnn-mtx"), ["backbone: ", "musicnn-mtx", "musicnn-mtt"]),
        (("id: mel", "id: input"), ["input: two nodes have this name"]),
    ],
)
def test_graphs_that_cannot_work(
    tmp_path: Path, model: Path, change: tuple[str, str], parts: list[str]
) -> None:
    if change[0] == "MODEL":
        change = (str(model), change[1])
    result = auricle("graph", "check", write(tmp_path, model, change))
    assert_one_line(result, *parts, code=2)


def test_wrong_rate_names_both_ends(tmp_path: Path, model: Path) -> None:
    file = write(tmp_path, model, ("{path: sound.wav}", "{path: sound.wav, sample_rate: 44100}"))
    assert_one_line(
        auricle("graph", "check", file),
        "input.audio -> mel.audio",
        "takes 16000 Hz, not 44100 Hz",
        code=2,
    )


@pytest.mark.parametrize(
    ("address", "part"), [("foo", "is not an address"), ("tcp://0.0.0.0:5680", "wire.curve")]
)
def test_addresses_that_cannot_be_had(tmp_path: Path, model: Path, address: str, part: str) -> None:
    file = write(tmp_path, model, ("edges:", f"wire: {{publish: '{address}'}}\nedges:"))
    assert_one_line(auricle("graph", "check", file), "wire.publish", address, part, code=2)


def test_two_sockets_on_one_address(tmp_path: Path, model: Path) -> None:
    wire = "wire: {publish: 'tcp://127.0.0.1:5680', arrays: 'tcp://127.0.0.1:5680'}\nedges:"
    file = write(tmp_path, model, ("edges:", wire))
    said = "publish and arrays are both tcp://127.0.0.1:5680; each needs its own address"
    assert_one_line(auricle("graph", "check", file), "graph.yaml: wire=", said, code=2)


def test_a_folder_of_heads_that_was_left_behind(tmp_path: Path) -> None:
    (tmp_path / "live.yaml").write_text((SHIPPED / "live.yaml").read_text())
    result = auricle("graph", "check", tmp_path / "live.yaml")
    said = "auricle: heads: no folder 'heads/electronic' (nor 'heads'), where a model is looked for"
    assert_one_line(result, said, code=2)


def test_graph_file_that_is_none(tmp_path: Path) -> None:
    assert_one_line(
        auricle("graph", "check", tmp_path / "no.yaml"), "no.yaml: No such file", code=2
    )
    (tmp_path / "bad.yaml").write_text("stream: [")
    assert_one_line(auricle("graph", "show", tmp_path / "bad.yaml"), "bad.yaml: not YAML", code=2)


def test_shipped_graphs_go_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped_graphs() == ["demo", "live", "radio"]
    assert find_graph("live") == SHIPPED / "live.yaml"
    (tmp_path / "live").mkdir()
    assert find_graph("live") == SHIPPED / "live.yaml", "a folder is not a graph"
    (tmp_path / "demo").write_text("stream: mine")
    assert find_graph("demo") == Path("demo"), "a file wins"
    Path("station.yaml").touch()
    for missing, says in [
        ("gone.yaml", "gone.yaml: No such file or directory$"),
        ("live.yaml", r"No such file or directory \(did you mean live, which comes with Auricle"),
        ("stations.yml", r"No such file or directory \(did you mean station.yaml\?\)"),
    ]:
        with pytest.raises(ConfigError, match=says):
            find_graph(missing)
    with pytest.raises(ConfigError, match=r"no graph 'lvie' \(did you mean live\?\); graphs"):
        find_graph("lvie")


def test_list_names_the_graphs_that_come_along() -> None:
    lines = auricle("graph", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["demo", "live", "radio"]
    assert "clip" in lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", "live", "radio"])
def test_a_copy_works_in_an_empty_folder(name: str, tmp_path: Path) -> None:
    """With its heads, its sound and its list of stations, and what the file's first line names."""
    copy_graph(find_graph(name), tmp_path / "deep/mine.yaml")
    shutil.move(tmp_path / "deep", tmp_path / "moved")
    file = read_graph_file(tmp_path / "moved/mine.yaml")
    graph = build_graph(file, tmp_path / "moved")
    assert list_streams(file.streams, tmp_path / "moved") == []
    for node in graph.nodes.values():
        for path in (getattr(node.params, "path", None), *getattr(node.params, "heads", ())):
            assert path is None or tmp_path in Path(path).parents
    assert json.loads((tmp_path / "moved/graph.schema.json").read_text()) == json_schema()


def test_a_copy_overwrites_nothing(tmp_path: Path) -> None:
    own = tmp_path / "heads/energy"
    own.mkdir(parents=True)
    result = auricle("graph", "new", "live", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "live.yaml").read_text() == (SHIPPED / "live.yaml").read_text()
    assert list(own.iterdir()) == []
    again = auricle("graph", "new", "live", cwd=tmp_path)
    assert_one_line(again, "live.yaml: already exists; choose another name", code=2)


def test_show_tells_ports_rates_rings_and_latency(tmp_path: Path, model: Path) -> None:
    text = auricle("graph", "show", write(tmp_path, model)).stdout
    assert "mel  MelSpectrogram" in text
    assert "from input.audio, 512 tokens every 256" in text
    assert "float32 96 mel_musicnn at 62.5 Hz; ring" in text
    # 40 frames of 16 ms, every 13.
    assert "backbone.predictions: first after 0.64 s of audio, then every 0.208 s" in text


def test_mermaid(tmp_path: Path, model: Path) -> None:
    lines = auricle(
        "graph", "show", "--format", "mermaid", write(tmp_path, model)
    ).stdout.splitlines()
    assert lines[0] == "flowchart LR"
    assert '    mel -->|"float32 96 mel_musicnn at 62.5 Hz"| backbone' in lines


def test_json(tmp_path: Path, model: Path) -> None:
    content = json.loads(
        auricle("graph", "show", "--format", "json", write(tmp_path, model)).stdout
    )
    backbone = content["nodes"][2]
    assert backbone["outputs"]["predictions"]["first_after_s"] == pytest.approx(0.64)
    assert content["edges"][0] == {
        "from": "input.audio",
        "to": "mel.audio",
        "frame_size": 512,
        "hop_size": 256,
    }


@pytest.mark.slow
def test_bundled_graphs_are_good_and_known_to_the_schema(musicnn: str) -> None:
    schema = json.loads(auricle("graph", "schema").stdout)
    assert schema == json.loads((ROOT / "graphs/graph.schema.json").read_text()), (
        "make schema writes it"
    )
    for file in sorted((ROOT / "graphs").glob("*.yaml")):
        assert auricle("graph", "check", file).returncode == 0


def test_heads_beside_the_graph_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`heads/electronic` in live.yaml is a folder beside it, not below the working folder."""
    file = ROOT / "graphs/live.yaml"
    monkeypatch.chdir(tmp_path)
    graph = build_graph(read_graph_file(file), file.parent)
    (heads,) = (node for node in graph.nodes.values() if isinstance(node, Heads))
    assert heads.names() == ["electronic", "energy"]
