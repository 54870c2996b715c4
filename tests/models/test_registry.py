"""Pulling, finding and checking models: what a user does, and what goes wrong on the way."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from auricle.errors import ModelError
from auricle.models import DEFAULT_MODEL, download, registry
from auricle.models.files import new_folder, sha256
from auricle.models.heads.head import save_head
from auricle.models.heads.mlp import Layer
from tests.models.plain_networks import musicnn as plain_musicnn
from tests.models.plain_networks import random_weights
from tests.tiny import make_backbone, make_transformer

# Runs a pull in a process of its own, expecting the hash of the made wheel. With "hang" it stops
# for good when the model is written and not yet in its place.
DRIVER = """
import sys, time
from auricle.models import DEFAULT_MODEL, download, registry
download.WHEEL_SHA256 = sys.argv[1]
if "hang" in sys.argv:
    def hang(folder):
        print(folder, flush=True)
        time.sleep(600)
    registry._try_out = hang
print(registry.pull("vgg-mtt"), flush=True)
"""


def start_pull(wheel: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, sha256(wheel), *options]
    root = str(Path(registry.__file__).parents[2])
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    )


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("pip was called")

    monkeypatch.setattr(subprocess, "run", fail)


def test_pull_installs_a_model_that_runs(served: Path) -> None:
    steps: list[str] = []
    folder = registry.pull("musicnn-mtt", steps.append)

    assert folder == served / "models/musicnn-mtt"
    assert [step.split()[0] for step in steps] == ["downloading", "converting"]
    assert files_below(folder) == {"model.onnx", "card.json", "LICENSE"}
    assert (folder / "LICENSE").read_text() == "the licence\n"
    card = registry.info("musicnn-mtt")
    assert card.classes[:2] == ("MTT_LABELS 0", "MTT_LABELS 1")
    assert (card.segment_size, card.segment_hop_size, card.embedding_size) == (187, 93, 200)
    assert card.front_end is not None
    assert (card.front_end.name, card.front_end.n_mels) == ("musicnn", 96)

    mel = np.random.default_rng(0).uniform(0, 4, (1, 187, 96)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    activations, embeddings = session.run(["activations", "embeddings"], {"mel": mel})
    expected = plain_musicnn(random_weights("musicnn"), mel)
    # float32 sums against float64 ones, as in test_musicnn.py.
    np.testing.assert_allclose(activations, expected[0], rtol=0, atol=1e-4)
    np.testing.assert_allclose(embeddings, expected[1], rtol=0, atol=1e-4)


def test_second_pull_and_other_models_need_no_network(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = registry.pull("vgg-mtt")
    before = (first / "model.onnx").stat()
    no_pip(monkeypatch)
    assert registry.pull("vgg-mtt") == first
    assert (first / "model.onnx").stat().st_mtime_ns == before.st_mtime_ns
    assert registry.info(registry.pull("vgg-msd")).classes[0] == "MSD_LABELS 0"


def test_conversion_is_the_same_each_time(served: Path, tmp_path: Path) -> None:
    folder = registry.pull("vgg-mtt")
    first = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").unlink()
    assert (registry.pull("vgg-mtt") / "model.onnx").read_bytes() == first


def test_list_of_models(served: Path) -> None:
    names = ["musicnn-mtt", "musicnn-msd", "vgg-mtt", "vgg-msd"]
    assert [(entry.name, entry.state) for entry in registry.available()] == [
        (name, "missing") for name in names
    ]
    assert not served.exists()  # looking does not write

    folder = registry.pull("vgg-mtt")
    weight = Layer(np.ones((256, 2), np.float32), np.zeros(2, np.float32), "softmax")
    save_head(
        served / "models/mine", [weight], name="mine", labels=["a", "b"], embedding_model="vgg-mtt"
    )
    entries = {entry.name: entry for entry in registry.available()}
    assert [entry.state for entry in entries.values()] == [
        "missing",
        "missing",
        "installed",
        "missing",
        "installed",
    ]
    assert entries["vgg-mtt"].size_bytes == (folder / "model.onnx").stat().st_size
    assert entries["musicnn-msd"].size_bytes == pytest.approx(3.3e6, rel=0.1)
    assert {entries[name].licence for name in names} == {"ISC"}

    (folder / "model.onnx").write_bytes(b"")
    (served / "models/mine/card.json").write_text("{")
    assert [entry.state for entry in registry.available() if entry.state != "missing"] == [
        "damaged",
        "damaged",
    ]


def test_wheel_with_another_hash_is_not_installed(
    served: Path, made_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(
        ModelError, match=f"has sha256 {sha256(made_wheel)}, expected 0000"
    ) as caught:
        registry.pull("vgg-mtt")
    assert "\n" not in str(caught.value)
    assert files_below(served) == {".lock", "wheels"}

    monkeypatch.setattr(download, "WHEEL_SHA256", sha256(made_wheel))
    registry.pull("vgg-mtt")


def test_damaged_wheel_in_the_cache_is_fetched_again(served: Path) -> None:
    (served / "wheels").mkdir(parents=True)
    wheel = served / "wheels" / download.WHEEL_NAME
    wheel.write_bytes(b"half a whe")
    registry.pull("vgg-mtt")
    assert sha256(wheel) == download.WHEEL_SHA256


def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv(
        "PIP_INDEX_URL", "http://127.0.0.1:9/simple"
    )  # the discard port: nothing listens
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(ModelError, match=r"musicnn==0\.1\.0: download failed: .*refused") as caught:
        registry.pull("vgg-mtt")
    assert "\n" not in str(caught.value)
    assert files_below(cache) == {".lock", "wheels"}


def test_no_pip(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ModelError, match=r"download failed: .*No module named pip"):
        registry.pull("vgg-mtt")


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_interrupted_pull_leaves_nothing(
    served: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def interrupt(folder: Path) -> None:
        assert (folder / "model.onnx").exists()
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(registry, "_try_out", interrupt)
        with pytest.raises(type(error)):
            registry.pull("vgg-mtt")
    assert files_below(served / "models") == set()
    assert registry.verify() == []
    registry.pull("vgg-mtt")


def test_pull_after_a_killed_one(served: Path, made_wheel: Path) -> None:
    process = start_pull(made_wheel, "hang")
    assert process.stdout is not None
    unfinished = Path(process.stdout.readline().strip())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (unfinished / "model.onnx").exists()
    # What a download that was killed leaves.
    (served / "wheels/.download-abc").mkdir()

    assert [entry.state for entry in registry.available()] == ["missing"] * 4
    registry.pull("vgg-mtt")
    assert registry.verify("vgg-mtt") == [registry.Verdict("vgg-mtt", None)]
    assert {path.name for path in (served / "models").iterdir()} == {"vgg-mtt"}
    assert {path.name for path in (served / "wheels").iterdir()} == {download.WHEEL_NAME}


def test_pulls_at_the_same_time(served: Path, made_wheel: Path) -> None:
    processes = [start_pull(made_wheel) for _ in range(3)]
    results = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert results == [str(served / "models/vgg-mtt")] * 3
    assert registry.verify() == [registry.Verdict("vgg-mtt", None)]
    assert {path.name for path in (served / "models").iterdir()} == {"vgg-mtt"}


def test_damaged_model_is_noticed_and_repaired(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = registry.pull("vgg-mtt")
    file = folder / "model.onnx"
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:], b""):
        file.write_bytes(damaged)
        (verdict,) = registry.verify()
        assert verdict.problem is not None
        assert "is damaged: its sha256 is not that of the card" in verdict.problem
        assert verdict.problem.endswith("get it again with: auricle models pull vgg-mtt")
        with pytest.raises(ModelError, match="is damaged"):
            registry.check(folder)
    no_pip(monkeypatch)  # the wheel is still there
    registry.pull("vgg-mtt")
    assert file.read_bytes() == whole
    (folder / "card.json").unlink()
    registry.pull("vgg-mtt")
    assert registry.verify() == [registry.Verdict("vgg-mtt", None)]


def test_verify_loads_the_model(served: Path) -> None:
    folder = registry.pull("vgg-mtt")
    card = json.loads((folder / "card.json").read_text())

    def problem(**changes: object) -> str:
        (folder / "card.json").write_text(json.dumps(card | changes))
        (verdict,) = registry.verify("vgg-mtt")
        return verdict.problem or ""

    renamed = json.loads(json.dumps(card["schema"]).replace("embeddings", "features"))
    assert "has no 'features', which the card names; it has activations, embeddings" in problem(
        schema=renamed
    )
    longer = json.loads(json.dumps(card["schema"]).replace("256", "200"))
    assert "'embeddings' has shape ['batch', 256], the card says ['batch', 200]" in problem(
        schema=longer
    )

    (folder / "model.onnx").write_bytes(b"not a model")
    message = problem(sha256=sha256(folder / "model.onnx"))
    assert "ONNX Runtime does not load" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        (
            {"segment_size": 86, "patch_grid": {"columns": 8}},
            "does not run on the card's 'segment_size' of 86 and 'front_end.n_mels' of 96, with 'patch_grid' "
            "of rows=9 columns=8 size=16 stride=10: ",
        ),
        ({"patch_grid": {"size": 15}}, "does not run on the card's 'segment_size' of 76"),
        (
            {"patch_grid": None, "patchout": []},
            "has an input 'keep_t', and the card no 'patch_grid'",
        ),
        (
            {"front_end": {"n_mels": 64}, "patch_grid": {"rows": 5}, "patchout": []},
            "'mel' has shape ['batch', 'frames', 96], the card says 'segment_size' of 76 and "
            "'front_end.n_mels' of 64",
        ),
    ],
)
def test_verify_runs_a_segment_with_all_patches(
    tmp_path: Path, changes: dict, message: str | None
) -> None:
    folder = make_transformer(tmp_path / "tiny")
    card = json.loads((folder / "card.json").read_text())
    # What the file leaves open is what only a run shows.
    card["schema"]["inputs"][0]["shape"] = ["batch", "frames", "bands"]
    changed = {
        key: {**card[key], **new} if isinstance(new, dict) else new for key, new in changes.items()
    }
    (folder / "card.json").write_text(json.dumps(card | changed))
    (verdict,) = registry.verify(str(folder))
    if message is None or verdict.problem is None:
        assert verdict.problem is message
        return
    assert verdict.problem.startswith(f"model 'tiny': {folder / 'model.onnx'}")
    assert message in verdict.problem
    assert "\n" not in verdict.problem


def test_verify_compares_segments_of_a_fixed_size(tmp_path: Path) -> None:
    folder = make_backbone(tmp_path / "tiny")
    card = (folder / "card.json").read_text()
    (folder / "card.json").write_text(card.replace('"segment_size": 40', '"segment_size": 50'))
    (verdict,) = registry.verify(str(folder))
    assert verdict.problem is not None
    assert (
        "'mel' has shape ['batch', 40, 96], the card says 'segment_size' of 50" in verdict.problem
    )


def test_verify_compares_sizes_that_the_file_leaves_open(tmp_path: Path) -> None:
    folder = make_transformer(tmp_path / "tiny")
    model = onnx.load(folder / "model.onnx")
    model.graph.node.append(
        onnx.helper.make_node("Gather", ["embeddings", "keep_t"], ["some"], axis=1)
    )
    del model.graph.output[1]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("some", 1, ["batch", "kept_columns"])
    )
    onnx.save(model, folder / "model.onnx")
    card = json.loads((folder / "card.json").read_text())
    card["schema"]["outputs"][1]["name"] = "some"
    card["sha256"] = sha256(folder / "model.onnx")
    (folder / "card.json").write_text(json.dumps(card))
    (verdict,) = registry.verify(str(folder))
    assert verdict.problem is not None
    assert verdict.problem.endswith("'some' has shape [1, 7], the card says ['batch', 8]")


@pytest.mark.parametrize("purpose", ["predictions", None])
def test_verify_counts_the_classes(tmp_path: Path, purpose: str | None) -> None:
    folder = make_backbone(tmp_path / "tiny")
    card = json.loads((folder / "card.json").read_text())
    card["schema"]["outputs"][0]["output_purpose"] = purpose
    (folder / "card.json").write_text(json.dumps(card | {"classes": ["a", "b"]}))
    (verdict,) = registry.verify(str(folder))
    assert verdict.problem is not None
    assert verdict.problem.endswith("'activations' has shape [1, 3], the card has 2 'classes'")
    (folder / "card.json").write_text(json.dumps(card | {"classes": []}))
    assert [verdict.problem for verdict in registry.verify(str(folder))] == [None]


def test_verify_reads_heads(served: Path) -> None:
    layer = Layer(np.ones((200, 2), np.float32), np.zeros(2, np.float32), "softmax")
    folder = served / "models/mine"
    save_head(folder, [layer], name="mine", labels=["a", "b"], embedding_model="musicnn-mtt")
    assert registry.verify() == [registry.Verdict("mine", None)]
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"classes": ["a", "b", "c"]}))
    (verdict,) = registry.verify("mine")
    assert verdict.problem == "head 'mine': 2 outputs, but the card has 3 classes"


def test_find(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ModelError, match="'vgg-mtt' is not installed; get it with: auricle models pull vgg-mtt"
    ):
        registry.find("vgg-mtt")
    folder = registry.pull("vgg-mtt")
    assert registry.find("vgg-mtt") == registry.find(folder) == registry.find(str(folder)) == folder

    monkeypatch.chdir(folder.parent.parent)
    assert registry.info("models/vgg-mtt").name == "vgg-mtt"
    with pytest.raises(
        ModelError, match="no model 'vgg'; models are: musicnn-mtt, musicnn-msd, vgg-mtt, vgg-msd"
    ):
        registry.find("vgg")
    with pytest.raises(ModelError, match=r"models pull NAME"):
        registry.verify("../elsewhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match="empty: no model card"):
        registry.find(empty)


def test_the_model_that_auricle_comes_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    (entry,) = [entry for entry in registry.available() if entry.name == DEFAULT_MODEL]
    assert (entry.state, entry.licence) == ("installed", "Apache-2.0")
    assert entry.size_bytes < 10e6
    folder = registry.find(DEFAULT_MODEL)
    assert registry.pull(DEFAULT_MODEL) == folder
    assert [verdict.problem for verdict in registry.verify() if verdict.name == DEFAULT_MODEL] == [
        None
    ]
    card = registry.info(DEFAULT_MODEL)
    assert len(card.classes) == 100
    assert card.embedding_size == 512
    assert not (tmp_path / "cache").exists()  # nothing is got, and nothing is written


def test_only_known_models_are_pulled(cache: Path) -> None:
    with pytest.raises(ModelError, match=r"'\.\./x' cannot be pulled; models are: musicnn-mtt"):
        registry.pull("../x")
    assert not cache.exists()


def test_cache_that_cannot_be_written(served: Path) -> None:
    served.write_text("a file where the folder should be")
    with pytest.raises(ModelError, match="model 'vgg-mtt': cannot install into") as caught:
        registry.pull("vgg-mtt")
    assert "\n" not in str(caught.value)


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AURICLE_CACHE", "~/somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert registry.models_folder() == tmp_path / "somewhere/models"
    monkeypatch.delenv("AURICLE_CACHE")
    assert registry.cache_folder().name == "auricle"
    assert registry.cache_folder().is_relative_to(tmp_path)


def test_new_folder_that_fails_keeps_the_old_one(tmp_path: Path) -> None:
    with new_folder(tmp_path / "model") as folder:
        (folder / "a").write_text("old")

    def fail_halfway() -> None:
        with new_folder(tmp_path / "model") as folder:
            (folder / "a").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert files_below(tmp_path) == {"model", "model/a"}
    assert (tmp_path / "model/a").read_text() == "old"


@pytest.mark.parametrize("name", ["musicnn-mtt", "musicnn-msd", "vgg-mtt", "vgg-msd"])
def test_real_models(cache: Path, real_wheel: Path, name: str) -> None:
    (cache / "wheels").mkdir(parents=True)
    os.link(real_wheel, cache / "wheels" / download.WHEEL_NAME)
    folder = registry.pull(name)
    assert registry.verify() == [registry.Verdict(name, None)]
    assert "Permission to use" in (folder / "LICENSE").read_text()
    # Published lists of these tags differ in order; this is the order of the network's outputs.
    order = ("guitar", "classical", "slow") if "mtt" in name else ("rock", "pop", "alternative")
    assert registry.info(name).classes[:3] == order
