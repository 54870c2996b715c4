"""Models of Essentia's site, from a local one: installed ones run, bad ones are refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import threading
import wave
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from auricle.engine.graph import Graph
from auricle.engine.scheduler import run_offline
from auricle.engine.testing import Player, Recorder
from auricle.errors import ModelError
from auricle.models import DEFAULT_MODEL, fetch, pulling, registry
from auricle.models.convert.wheel import CONVERSIONS
from auricle.models.front_end import FRONT_ENDS
from auricle.models.heads.head import load_head
from auricle.models.published import LICENCE, PUBLISHED
from auricle.nodes.backbone import Backbone
from auricle.nodes.heads import Heads
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.predictions import Prediction
from auricle.nodes.signal.mel import mel_spectrogram
from tests.cli.command import assert_one_line, auricle
from tests.models import essentia_site
from tests.models.essentia_site import EMBEDDING, LABELS, Content, Site

HEAD = "timbre-discogs-effnet"
REGRESSION = "deam-msd-musicnn"


@pytest.fixture
def site(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site with a backbone of each family and a head, and an empty cache to be filled from it."""
    # The small models cannot have the hashes of the true ones.
    for name, model in PUBLISHED.items():
        monkeypatch.setitem(PUBLISHED, name, replace(model, sha256=None))
    with essentia_site.serve() as site:
        site.put("discogs-effnet", *essentia_site.effnet())
        site.put("discogs-maest-5s-pw", *essentia_site.maest(316))
        site.put("msd-musicnn", *essentia_site.musicnn())
        site.put("audioset-yamnet", *essentia_site.yamnet())
        site.put(HEAD, *essentia_site.head())
        site.put(REGRESSION, *essentia_site.regression())
        monkeypatch.setenv("AURICLE_MODELS_URL", f"{site.url}/")
        yield site


def remains(cache: Path) -> set[str]:
    """Files and folders in the cache, but for the lock and the folders that hold models."""
    return {str(path.relative_to(cache)) for path in cache.rglob("*")} - {".lock", "models"}


def path_of(name: str, ending: str = ".onnx") -> str:
    return f"/{PUBLISHED[name].path}{ending}"


def digest(site: Site, name: str) -> str:
    content = site.files[path_of(name)]
    assert isinstance(content, bytes)
    return hashlib.sha256(content).hexdigest()


def run(
    backbone: Backbone, samples: np.ndarray, *heads: Heads
) -> tuple[Recorder, Recorder, list[Recorder]]:
    predictions, embeddings = Recorder("p", Prediction), Recorder("e")
    scores = [Recorder(f"s{n}", Prediction) for n in range(len(heads))]
    assert backbone.card.front_end is not None
    mel = MelSpectrogram("mel", front_end=backbone.card.front_end.name)
    nodes = [Player("in", samples), mel, backbone, predictions, embeddings, *heads, *scores]
    edges = [("in", "mel"), ("mel", "b"), ("b.predictions", "p"), ("b.embeddings", "e")]
    for head, recorder in zip(heads, scores, strict=True):
        edges += [("b.embeddings", head.name), (head.name, recorder.name)]
    run_offline(Graph("g", nodes, edges))
    return predictions, embeddings, scores


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(1).uniform(-0.5, 0.5, int(16000 * seconds)).astype(np.float32)


def test_table() -> None:
    folders = ("feature-extractors", "audio-event-recognition", "classification-heads")
    backbones = {name for name, model in PUBLISHED.items() if model.segments is not None}
    tasks: dict[str, set[str]] = {}
    for name, model in PUBLISHED.items():
        assert re.fullmatch(r"[a-z0-9_-]+", name)
        folder, _, file = model.path.split("/")
        assert folder in folders
        assert re.fullmatch(rf"{name}(-bsdynamic)?-\d", file)
        assert model.sha256 is None or re.fullmatch("[0-9a-f]{64}", model.sha256)
        assert (model.segments is None) == (folder == "classification-heads")
        if model.segments is None:
            task, _, backbone = name.partition("-")
            tasks.setdefault(backbone, set()).add(task)
    assert tasks.keys() <= backbones
    assert {name: len(of) for name, of in tasks.items()} == {
        "discogs-effnet": 32,
        "msd-musicnn": 17,
        "audioset-yamnet": 10,
    }
    assert tasks["msd-musicnn"] - tasks["discogs-effnet"] == {"deam", "emomusic", "muse"}
    pinned = [model.sha256 for model in PUBLISHED.values() if model.sha256]
    assert len(pinned) == len(set(pinned))
    maest = PUBLISHED["discogs-maest-30s-pw"].segments
    assert maest is not None
    assert (maest.size, maest.hop_size, maest.front_end.mean) == (1876, 1875, 2.06755686098554)
    assert maest.front_end.std == pytest.approx(2.536585641334582, rel=1e-12)


def test_table_and_readers_agree() -> None:
    root = Path(__file__).parents[2]
    page, changes = ((root / name).read_text() for name in ("docs/models.md", "CHANGELOG.md"))
    assert f"{len(PUBLISHED)} models that Essentia publishes" in changes
    pinned = sum(model.sha256 is not None for model in PUBLISHED.values())
    assert pinned == 13
    assert "For thirteen ONNX files the hash is known" in page


def test_backbone_is_installed_and_runs(site: Site, cache: Path) -> None:
    steps: list[str] = []
    folder = pulling.pull("discogs-effnet", steps.append)
    assert folder == cache / "models/discogs-effnet"
    file = "discogs-effnet-bsdynamic-1"
    assert {path.name for path in folder.iterdir()} == {"card.json", f"{file}.json", f"{file}.onnx"}
    assert LICENCE in steps[0]
    assert [step.split()[0] for step in steps[1:3]] == ["downloading", "downloading"]
    assert steps[2].startswith(f"downloading {site.url}{path_of('discogs-effnet')} (0.0 MB)")
    assert digest(site, "discogs-effnet") in steps[3]
    assert "taken on trust" in steps[3]

    card = registry.info("discogs-effnet")
    assert (card.name, card.version, card.author) == ("discogs-effnet", "1", "Somebody")
    assert (card.licence, card.sha256) == (LICENCE, digest(site, "discogs-effnet"))
    assert card.source == f"{site.url}{path_of('discogs-effnet')}"
    assert card.classes == tuple(LABELS)
    assert (card.segment_size, card.segment_hop_size, card.embedding_size) == (128, 62, EMBEDDING)
    assert card.front_end is not None
    assert (card.front_end.name, card.front_end.mean, card.front_end.std) == ("musicnn", 0, 1)
    assert registry.verify() == [registry.Verdict("discogs-effnet", None)]

    samples = noise(5)
    predictions, embeddings, _ = run(Backbone("b", model="discogs-effnet"), samples)
    mel = mel_spectrogram(samples, FRONT_ENDS["musicnn"])
    segments = np.stack([mel[n : n + 128] for n in range(0, len(mel) - 127, 62)])
    assert len(segments) == len(predictions.tokens) == 4
    session = onnxruntime.InferenceSession(
        folder / f"{file}.onnx", providers=["CPUExecutionProvider"]
    )
    activations, vectors = session.run(["activations", "embeddings"], {"melspectrogram": segments})
    for n in range(4):
        # The same program on the same numbers, in batches of another size.
        np.testing.assert_allclose(
            predictions.tokens[n].scores[0].activations, activations[n], atol=1e-6
        )
        np.testing.assert_allclose(embeddings.tokens[n], vectors[n], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "front_end", "size", "bands"),
    [("msd-musicnn", "musicnn", 187, 96), ("audioset-yamnet", "vggish", 96, 64)],
)
def test_other_backbones_hear_what_essentia_gives_them(
    site: Site, name: str, front_end: str, size: int, bands: int
) -> None:
    folder = pulling.pull(name)
    card = registry.info(name)
    assert (card.segment_size, card.segment_hop_size, card.embedding_size) == (size, 93, EMBEDDING)
    assert card.front_end is not None
    assert (card.front_end.name, card.front_end.n_mels) == (front_end, bands)
    assert registry.verify() == [registry.Verdict(name, None)]

    samples = noise(5)
    predictions, embeddings, _ = run(Backbone("b", model=name), samples)
    mel = mel_spectrogram(samples, FRONT_ENDS[front_end])
    segments = np.stack([mel[n : n + size] for n in range(0, len(mel) - size + 1, 93)])
    assert len(segments) == len(predictions.tokens) > 1
    session = onnxruntime.InferenceSession(
        next(folder.glob("*.onnx")), providers=["CPUExecutionProvider"]
    )
    activations, vectors = session.run(["activations", "embeddings"], {"melspectrogram": segments})
    for n in range(len(segments)):
        np.testing.assert_allclose(
            predictions.tokens[n].scores[0].activations, activations[n], atol=1e-6
        )
        np.testing.assert_allclose(embeddings.tokens[n], vectors[n], rtol=1e-4, atol=1e-5)


def test_tokens_of_maest_become_one_vector(site: Site) -> None:
    folder = pulling.pull("discogs-maest-5s-pw")
    card = registry.info("discogs-maest-5s-pw")
    assert card.embedding_size == 3 * EMBEDDING
    assert [output.output_purpose for output in card.io.outputs] == [
        None,
        "embeddings",
        "predictions",
    ]
    samples = noise(5.1)
    predictions, embeddings, _ = run(Backbone("b", model="discogs-maest-5s-pw"), samples)
    mel = mel_spectrogram(samples, FRONT_ENDS["musicnn"])[:316]
    scaled = ((mel - 2.06755686098554) / (2 * 1.268292820667291)).astype(np.float32)
    file = next(folder.glob("*.onnx"))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = ["activations", "layer_07_embeddings"]
    activations, tokens = session.run(names, {"melspectrogram": scaled[None]})
    # Sums over 316 frames, of mels scaled in float32 and in float64.
    np.testing.assert_allclose(
        predictions.tokens[0].scores[0].activations, activations[0], atol=1e-5
    )
    expected = np.concatenate([tokens[0, 0], tokens[0, 1], tokens[0, 2:].mean(axis=0)])
    np.testing.assert_allclose(embeddings.tokens[0], expected, atol=1e-5)


def test_head_is_installed_and_runs_on_its_backbone(site: Site) -> None:
    pulling.pull("discogs-effnet")
    folder = pulling.pull(HEAD)
    head = load_head(folder)
    assert (head.card.name, head.labels, head.input_size) == (HEAD, ("non_sad", "sad"), EMBEDDING)
    assert head.card.inference.embedding_model is not None
    assert head.card.inference.embedding_model.model_name == "discogs-effnet-bs64-1"
    assert head.card.front_end is None
    assert registry.verify(HEAD) == [registry.Verdict(HEAD, None)]

    _, embeddings, (scores,) = run(
        Backbone("b", model="discogs-effnet"), noise(3), Heads("heads", heads=[HEAD])
    )
    (said,) = scores.tokens[0].scores
    assert (said.head, said.labels) == (HEAD, ("non_sad", "sad"))
    file = next(folder.glob("*.onnx"))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"embeddings": embeddings.tokens[0][None]})
    np.testing.assert_allclose(said.activations, expected[0], rtol=1e-5)


def test_head_that_has_kept_the_names_of_tensorflow(site: Site) -> None:
    pulling.pull("msd-musicnn")
    folder = pulling.pull(REGRESSION)
    head = load_head(folder)
    assert (head.labels, head.layers[-1].activation) == (("valence", "arousal"), "linear")
    predictions = head.card.output("predictions")
    assert predictions is not None
    assert (predictions.name, head.card.io.inputs[0].name) == (
        "model/Identity:0",
        "model/Placeholder:0",
    )
    assert registry.verify(REGRESSION) == [registry.Verdict(REGRESSION, None)]

    _, embeddings, (scores,) = run(
        Backbone("b", model="msd-musicnn"), noise(4), Heads("heads", heads=[REGRESSION])
    )
    file = next(folder.glob("*.onnx"))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"model/Placeholder:0": embeddings.tokens[0][None]})
    np.testing.assert_allclose(
        scores.tokens[0].scores[0].activations, expected[0], rtol=1e-4, atol=1e-6
    )


def test_second_pull_leaves_it_alone(site: Site) -> None:
    folder = pulling.pull(HEAD)
    asked, before = list(site.requests), (folder / "card.json").stat().st_mtime_ns
    assert pulling.pull(HEAD) == pulling.pull(HEAD, expected=digest(site, HEAD).upper()) == folder
    assert site.requests == asked
    assert (folder / "card.json").stat().st_mtime_ns == before


def test_damaged_model_is_noticed_and_held_to_its_first_hash(site: Site) -> None:
    folder = pulling.pull(HEAD)
    file = next(folder.glob("*.onnx"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    (verdict,) = registry.verify()
    assert verdict.problem is not None
    assert verdict.problem.endswith(f"get it again with: auricle models pull {HEAD}")

    site.files[path_of(HEAD)] = essentia_site.effnet()[0]
    with pytest.raises(ModelError, match=f"has sha256 {digest(site, HEAD)}, expected"):
        pulling.pull(HEAD)
    site.files[path_of(HEAD)] = whole
    pulling.pull(HEAD)
    assert registry.verify() == [registry.Verdict(HEAD, None)]


def test_hash_of_the_table_holds(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PUBLISHED, HEAD, replace(PUBLISHED[HEAD], sha256="0" * 64))
    with pytest.raises(ModelError, match="expected 0000"):
        pulling.pull(HEAD)
    assert remains(cache) == set()
    monkeypatch.setitem(PUBLISHED, HEAD, replace(PUBLISHED[HEAD], sha256=digest(site, HEAD)))
    steps: list[str] = []
    pulling.pull(HEAD, steps.append)
    assert not any("trust" in step for step in steps)


def test_progress_of_a_long_download(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fetch, "_STEP", 2 << 20)
    site.files["/long"] = bytes(5 << 20)
    steps: list[str] = []
    fetch.fetch(f"{site.url}/long", tmp_path / "long", steps.append)
    assert steps == [f"downloading {site.url}/long (5.2 MB)", "2 of 5 MB", "4 of 5 MB"]
    assert (tmp_path / "long").stat().st_size == 5 << 20


def cut_off(request: BaseHTTPRequestHandler) -> None:
    content = essentia_site.head()[0]
    essentia_site.answer(request, content[: len(content) // 2], len(content))
    request.close_connection = True


def not_a_chain() -> bytes:
    """A model that loads and whose input and output are a head's, but which is not an MLP."""
    from onnx import helper

    node = helper.make_node("Softmax", ["embeddings"], ["a"], axis=1)
    other = helper.make_node("Softsign", ["a"], ["activations"])
    shape = ["n", EMBEDDING]
    return essentia_site.model([node, other], {}, {"embeddings": shape}, {"activations": shape})


def without_classes() -> bytes:
    card = essentia_site.head()[1]
    del card["classes"]
    return json.dumps(card).encode()


@pytest.mark.parametrize(
    ("ending", "content", "message"),
    [
        (".onnx", None, "the server answers 404"),
        (".json", None, "the server answers 404"),
        (".onnx", cut_off, r"the download was cut off: \d+ of \d+ bytes came; try again"),
        (
            ".onnx",
            b"<!DOCTYPE html><html></html>",
            r"not an ONNX model .* begins with b'<!DOCTYPE html><'",
        ),
        (".onnx", b"", "not an ONNX model that can be loaded"),
        (".onnx", essentia_site.maest(316)[0], "is not a head: node 'means'"),
        (".onnx", not_a_chain(), "is not a head: .*Softmax.*follows no layer"),
        (".json", b"<html>", "not a JSON file"),
        (".json", without_classes(), "key 'classes' is missing"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_url(
    site: Site, cache: Path, ending: str, content: Content | None, message: str
) -> None:
    if content is None:
        del site.files[path_of(HEAD, ending)]
    else:
        site.files[path_of(HEAD, ending)] = content
    with pytest.raises(ModelError, match=message) as caught:
        pulling.pull(HEAD)
    assert str(caught.value).startswith(f"{site.url}{path_of(HEAD, ending)}")
    assert "\n" not in str(caught.value)
    assert remains(cache) == set()
    assert registry.verify() == []


def test_output_that_nobody_knows(site: Site, cache: Path) -> None:
    card = essentia_site.head()[1]
    card["schema"]["outputs"][0]["output_purpose"] = "something"
    site.put(HEAD, essentia_site.head()[0], card)
    with pytest.raises(
        ModelError, match="none of its outputs are the JSON's predictions; it has activations"
    ):
        pulling.pull(HEAD)
    assert remains(cache) == set()


def test_classes_that_are_not_as_many_as_the_predictions(site: Site, cache: Path) -> None:
    file, card = essentia_site.effnet()
    site.put("discogs-effnet", file, card | {"classes": LABELS[:2]})
    with pytest.raises(
        ModelError, match=r"'activations' has shape \[1, 3\], the card has 2 'classes'$"
    ):
        pulling.pull("discogs-effnet")
    assert remains(cache) == set()


def test_wrong_hash_given_by_the_user(site: Site, cache: Path) -> None:
    with pytest.raises(
        ModelError, match=f"{path_of(HEAD)}: has sha256 {digest(site, HEAD)}, expected 1111"
    ):
        pulling.pull(HEAD, expected="1" * 64)
    assert remains(cache) == set()
    with pytest.raises(ModelError, match="'12' is not a sha256"):
        pulling.pull(HEAD, expected="12")
    with pytest.raises(ModelError, match=r"vgg-mtt.*do not give one"):
        pulling.pull("vgg-mtt", expected="1" * 64)


def test_nobody_listens(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:  # bound and not listening: connections are refused
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("AURICLE_MODELS_URL", url)
        with pytest.raises(
            ModelError, match=rf"{url}/.*\.json: cannot be reached: .*refused"
        ) as caught:
            pulling.pull(HEAD)
    assert "\n" not in str(caught.value)
    assert remains(cache) == set()


def test_server_that_falls_silent(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def half(request: BaseHTTPRequestHandler) -> None:
        essentia_site.answer(request, b"half", 8)
        done.wait(10)

    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.2)
    site.files[path_of(HEAD)] = half
    with pytest.raises(ModelError, match=r"\.onnx: the download was cut off: timed out"):
        pulling.pull(HEAD)
    done.set()
    assert remains(cache) == set()


def test_address_that_is_none(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AURICLE_MODELS_URL", "mirror/models")
    with pytest.raises(ModelError, match=r"mirror/models/.*: cannot be reached: unknown url type"):
        pulling.pull(HEAD)
    assert remains(cache) == set()


def test_what_a_killed_pull_left_is_removed(site: Site, cache: Path) -> None:
    left = cache / f"models/.{HEAD}-abcd"
    (left / "new").mkdir(parents=True)
    pulling.pull("discogs-effnet")
    assert not left.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["msd-musicnn", "audioset-yamnet"])
def test_what_was_pulled_tags_a_file(site: Site, tmp_path: Path, name: str) -> None:
    pulling.pull(name)
    with wave.open(str(tmp_path / "noise.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((noise(4) * 32767).astype("<i2").tobytes())
    options = {"env": {**os.environ}}
    result = auricle("tag", tmp_path / "noise.wav", "--model", name, "--jsonl", **options)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["activations"].keys() == set(LABELS)


def test_unknown_name(cache: Path) -> None:
    with pytest.raises(
        ModelError, match=r"'mood_sda-discogs-effnet' cannot be pulled; .*mood_sad-discogs-effnet"
    ):
        pulling.pull("mood_sda-discogs-effnet")
    with pytest.raises(
        ModelError, match="no model 'mood_sad'; names near it are: mood_sad-discogs-effnet"
    ):
        registry.find("mood_sad")
    with pytest.raises(ModelError, match="near it are: mood_happy-discogs-effnet"):
        registry.find("mood_hapy")
    with pytest.raises(ModelError, match="near it are: mood_happy-msd-musicnn"):
        registry.find("mood_hapy-msd-musicnn")
    assert not cache.exists()


def test_list_shows_them_when_asked(site: Site) -> None:
    assert len(registry.available()) == 4
    entries = {entry.name: entry for entry in registry.available(published=True)}
    assert entries.keys() > PUBLISHED.keys()
    assert entries["discogs-effnet"].size_bytes == 18_000_000
    assert {entry.state for entry in entries.values()} == {"missing"}
    pulling.pull(HEAD)
    assert [entry.name for entry in registry.available()][4:] == [HEAD]
    entry = {entry.name: entry for entry in registry.available(published=True)}[HEAD]
    assert (entry.state, entry.licence) == ("installed", LICENCE)


@pytest.mark.slow
def test_command(site: Site, cache: Path) -> None:
    options = {"env": {**os.environ}}
    result = auricle("models", "pull", HEAD, "--sha256", digest(site, HEAD), **options)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{HEAD}: {cache}/models/{HEAD}\n"
    assert f"{HEAD}: licence {LICENCE}: not for commercial use" in result.stderr

    assert LICENCE in auricle("models", "info", HEAD, **options).stdout
    short = auricle("models", "list", **options).stdout
    ours = [DEFAULT_MODEL, *CONVERSIONS]
    assert [line.split()[0] for line in short.splitlines()[: len(ours) + 1]] == [*ours, HEAD]
    assert LICENCE in short
    assert (
        f"{len(PUBLISHED)} more models can be downloaded from Essentia's site: "
        "auricle models list --all" in short
    )
    table = auricle("models", "list", "--all", **options).stdout
    assert all(f"\n{name} " in table for name in PUBLISHED)
    assert max(map(len, table.splitlines())) < 150

    wrong = auricle("models", "pull", HEAD, "--sha256", "2" * 64, **options)
    assert wrong.returncode == 1
    assert "expected 2222" in wrong.stderr.splitlines()[-1]
    two = auricle("models", "pull", HEAD, "vgg-mtt", "--sha256", "2" * 64, **options)
    assert two.returncode == 2
    assert_one_line(
        auricle("models", "pull", "mood_sda-discogs-effnet", **options), "mood_sad-discogs-effnet"
    )
