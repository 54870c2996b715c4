"""Heads come and go while the graph runs."""

from pathlib import Path

import numpy as np
import pytest

from auricle.engine.graph import Graph
from auricle.engine.scheduler import passes, run_offline
from auricle.engine.testing import Player, Recorder
from auricle.errors import ConfigError, GraphError
from auricle.models.card import load_card
from auricle.models.heads.head import load_head, save_head
from auricle.models.heads.mlp import Layer
from auricle.nodes.backbone import Backbone
from auricle.nodes.heads import Heads
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.predictions import Prediction
from tests.tiny import SIZE, make_backbone, make_head


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny backbone, two heads for it, and one for another."""
    make_backbone(tmp_path / "backbone")
    for seed, (name, size) in enumerate({"mood": SIZE, "genre": SIZE, "other": SIZE + 1}.items()):
        make_head(tmp_path / name, size, seed)
    return tmp_path


def graph_of(folder: Path, heads: Heads, seconds: int = 5) -> tuple[Graph, Recorder]:
    samples = np.random.default_rng(0).uniform(-1, 1, 16000 * seconds).astype(np.float32)
    recorder = Recorder("out", Prediction)
    nodes = [
        Player("in", samples, (16000,)),
        MelSpectrogram("mel"),
        Backbone("backbone", model=str(folder / "backbone")),
        heads,
        recorder,
    ]
    edges = [("in", "mel"), ("mel", "backbone"), ("backbone.embeddings", "heads"), ("heads", "out")]
    return Graph("g", nodes, edges), recorder


def names(recorder: Recorder) -> list[tuple[str, ...]]:
    return [tuple(s.head for s in token.scores) for token in recorder.tokens.values()]


def test_heads_are_added_and_removed_while_running(folder: Path) -> None:
    heads = Heads("heads")
    graph, recorder = graph_of(folder, heads)
    done = 0
    for number, _ in enumerate(passes(graph)):
        if number == 2:
            assert heads.add_head(str(folder / "mood"))() == "mood"
            heads.add_head(str(folder / "genre"))()
        if number == 6:
            heads.remove_head("mood")()
        done = number
    assert done > 8
    seen = names(recorder)
    assert len(seen) == len(recorder.tokens) > 10, (
        "every segment has a token, with heads or without"
    )
    assert list(dict.fromkeys(seen)) == [(), ("mood", "genre"), ("genre",)]


def test_scores_are_those_of_the_head(folder: Path) -> None:
    heads = Heads("heads", heads=[str(folder / "mood")], top_k=1)
    graph, recorder = graph_of(folder, heads)
    run_offline(graph)
    (scores,) = recorder.tokens[0].scores
    assert (scores.head, scores.labels, scores.version) == ("mood", ("a", "b"), "1")
    assert float(scores.activations.sum()) == pytest.approx(1)
    assert len(scores.ranked()) == 1


def test_streams_share_the_weights_of_their_heads(folder: Path) -> None:
    paths = [str(folder / "mood"), str(folder / "genre")]
    first, second, other = (
        Heads("a", heads=paths),
        Heads("b", heads=paths),
        Heads("c", heads=paths[::-1]),
    )
    assert first._bank is second._bank
    assert other._bank is not first._bank, "another order of the scores"
    second.remove_head("mood")()
    assert first.names() == ["mood", "genre"]
    # The same name with other weights is another head.
    layer = Layer(np.ones((SIZE, 2), np.float32), np.zeros(2, np.float32), "softmax")
    save_head(folder / "mood", [layer], name="mood", labels=("a", "b"), embedding_model="tiny")
    assert Heads("d", heads=paths)._bank is not first._bank


def test_wrong_heads_are_refused(folder: Path) -> None:
    heads = Heads("heads", heads=[str(folder / "mood")])
    with pytest.raises(ConfigError, match="heads: there is a head 'mood' already"):
        heads.add_head(str(folder / "mood"))
    with pytest.raises(
        ConfigError, match="heads: head 'other' takes embeddings of 9, here they have 8"
    ):
        heads.add_head(str(folder / "other"))
    with pytest.raises(ConfigError, match="heads: no head 'genre'; heads are: mood"):
        heads.remove_head("genre")
    with pytest.raises(ConfigError, match="heads: no model 'nothing-like-it'"):
        heads.add_head("nothing-like-it")
    assert heads.names() == ["mood"]


def test_commands_change_nothing_until_their_change_is_made(folder: Path) -> None:
    heads = Heads("heads", heads=[str(folder / "mood")], top_k=1)
    add, remove = heads.commands()["add-head"], heads.commands()["remove-head"]
    addition, removal = add(head=str(folder / "genre")), remove(head="mood")
    assert heads.names() == ["mood"]
    assert (addition(), removal()) == ("genre", "mood")
    assert heads.names() == ["genre"]
    # What was true when a command was checked need not be so when its change is made.
    with pytest.raises(ConfigError, match="heads: there is a head 'genre' already"):
        addition()
    with pytest.raises(ConfigError, match="heads: no head 'mood'; heads are: genre"):
        removal()


def test_settings_make_the_same_node(folder: Path) -> None:
    heads = Heads("heads", heads=[str(folder / "mood")], top_k=1)
    heads.add_head(str(folder / "genre"))()
    heads.remove_head("mood")()
    heads.add_head(str(folder / "mood"))()
    settings = heads.settings()
    assert settings == {"heads": [str(folder / "genre"), str(folder / "mood")], "top_k": 1}
    assert Heads("other", **settings)._bank is heads._bank


@pytest.mark.parametrize("name", ["a b", "a/b", "_heartbeat"])
def test_head_that_cannot_be_published_by_its_name(folder: Path, name: str) -> None:
    layer = Layer(np.ones((SIZE, 2), np.float32), np.zeros(2, np.float32), "softmax")
    save_head(folder / "named", [layer], name=name, labels=("a", "b"), embedding_model="tiny")
    with pytest.raises(ConfigError, match=f"heads: head '{name}' cannot be published by this name"):
        Heads("heads").add_head(str(folder / "named"))


def test_head_for_another_backbone_is_refused_when_the_graph_is_built(folder: Path) -> None:
    remedy = r"other belongs to tiny: name heads of this model, or none \(--set heads\.heads=\[\]\)"
    refused = f"takes tokens of 9 embedding, not of 8 embedding; {remedy}$"
    with pytest.raises(GraphError, match=refused):
        graph_of(folder, Heads("heads", heads=[str(folder / "other")]))


def test_what_displays_show_of_heads_is_there_before_they_say_anything(folder: Path) -> None:
    heads = Heads("heads", heads=[str(folder / "mood")])
    mood = load_head(folder / "mood")
    assert heads.describe() == {
        "predictions": [
            {
                "head": "mood",
                "model": "mood",
                "model_version": mood.card.version,
                "labels": list(mood.labels),
            }
        ]
    }


def test_head_trained_on_another_backbone_of_the_same_size(folder: Path) -> None:
    own, other = load_card(folder / "backbone").sha256, "5" * 64
    assert own is not None
    mine, strange = (
        make_head(folder / "mine", backbone=own),
        make_head(folder / "strange", backbone=other),
    )
    refused = (
        rf"heads\.embeddings: the input takes what tiny \(5{{12}}\) gives, not tiny \({own[:12]}\)"
    )
    with pytest.raises(GraphError, match=refused):
        graph_of(folder, Heads("heads", heads=[str(strange)]))

    heads = Heads("heads", heads=[str(mine)])
    takes = r"head 'strange' takes embeddings of tiny \(5{12}\)"
    here = rf"{takes}, here they are of tiny \({own[:12]}\)"
    with pytest.raises(ConfigError, match=here):
        heads.add_head(str(strange))
    graph_of(folder, heads)
    with pytest.raises(ConfigError, match=here):
        heads.add_head(str(strange))
    heads.add_head(str(folder / "mood"))()  # whose card names no hash
    assert heads.names() == ["mine", "mood"]
