"""Pulling models: what a user does, and what goes wrong on the way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from auricle.errors import ModelError
from auricle.models import download, pulling, registry
from auricle.models.files import sha256
from tests.models.plain_networks import musicnn as plain_musicnn
from tests.models.plain_networks import random_weights

# Runs a pull in a separate process, expecting the hash of the made wheel. With "hang" it stops
# for good when the model is written and not yet in its place.
DRIVER = """
import sys, time
from auricle.models import download, pulling
download.WHEEL_SHA256 = sys.argv[1]
if "hang" in sys.argv:
    def hang(folder, card):
        print(folder, flush=True)
        time.sleep(600)
    pulling.try_out = hang
print(pulling.pull("vgg-mtt"), flush=True)
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
    folder = pulling.pull("musicnn-mtt", steps.append)

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
    first = pulling.pull("vgg-mtt")
    before = (first / "model.onnx").stat()
    no_pip(monkeypatch)
    assert pulling.pull("vgg-mtt") == first
    assert (first / "model.onnx").stat().st_mtime_ns == before.st_mtime_ns
    assert registry.info(pulling.pull("vgg-msd")).classes[0] == "MSD_LABELS 0"


def test_conversion_is_the_same_each_time(served: Path, tmp_path: Path) -> None:
    folder = pulling.pull("vgg-mtt")
    first = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").unlink()
    assert (pulling.pull("vgg-mtt") / "model.onnx").read_bytes() == first


def test_wheel_with_another_hash_is_not_installed(
    served: Path, made_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(
        ModelError, match=f"has sha256 {sha256(made_wheel)}, expected 0000"
    ) as caught:
        pulling.pull("vgg-mtt")
    assert "\n" not in str(caught.value)
    assert files_below(served) == {".lock", "wheels"}

    monkeypatch.setattr(download, "WHEEL_SHA256", sha256(made_wheel))
    pulling.pull("vgg-mtt")


def test_damaged_wheel_in_the_cache_is_fetched_again(served: Path) -> None:
    (served / "wheels").mkdir(parents=True)
    wheel = served / "wheels" / download.WHEEL_NAME
    wheel.write_bytes(b"half a whe")
    pulling.pull("vgg-mtt")
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
        pulling.pull("vgg-mtt")
    assert "\n" not in str(caught.value)
    assert files_below(cache) == {".lock", "wheels"}


def test_no_pip(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ModelError, match=r"download failed: .*No module named pip"):
        pulling.pull("vgg-mtt")


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_interrupted_pull_leaves_nothing(
    served: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def interrupt(folder: Path, card: object) -> None:
        assert (folder / "model.onnx").exists()
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(pulling, "try_out", interrupt)
        with pytest.raises(type(error)):
            pulling.pull("vgg-mtt")
    assert files_below(served / "models") == set()
    assert registry.verify() == []
    pulling.pull("vgg-mtt")


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
    pulling.pull("vgg-mtt")
    assert registry.verify("vgg-mtt") == [registry.Verdict("vgg-mtt", None)]
    assert {path.name for path in (served / "models").iterdir()} == {"vgg-mtt"}
    assert {path.name for path in (served / "wheels").iterdir()} == {download.WHEEL_NAME}


def test_pulls_at_the_same_time(served: Path, made_wheel: Path) -> None:
    processes = [start_pull(made_wheel) for _ in range(3)]
    results = [process.communicate(timeout=500)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert results == [str(served / "models/vgg-mtt")] * 3
    assert registry.verify() == [registry.Verdict("vgg-mtt", None)]
    assert {path.name for path in (served / "models").iterdir()} == {"vgg-mtt"}


def test_damaged_model_is_noticed_and_repaired(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pulling.pull("vgg-mtt")
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
    pulling.pull("vgg-mtt")
    assert file.read_bytes() == whole
    (folder / "card.json").unlink()
    pulling.pull("vgg-mtt")
    assert registry.verify() == [registry.Verdict("vgg-mtt", None)]


def test_only_known_models_are_pulled(cache: Path) -> None:
    with pytest.raises(ModelError, match=r"'\.\./x' cannot be pulled; models are: musicnn-mtt"):
        pulling.pull("../x")
    assert not cache.exists()


def test_cache_that_cannot_be_written(served: Path) -> None:
    served.write_text("a file where the folder should be")
    with pytest.raises(ModelError, match="model 'vgg-mtt': cannot install into") as caught:
        pulling.pull("vgg-mtt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["musicnn-mtt", "musicnn-msd", "vgg-mtt", "vgg-msd"])
def test_real_models(cache: Path, real_wheel: Path, name: str) -> None:
    (cache / "wheels").mkdir(parents=True)
    os.link(real_wheel, cache / "wheels" / download.WHEEL_NAME)
    folder = pulling.pull(name)
    assert registry.verify() == [registry.Verdict(name, None)]
    assert "Permission to use" in (folder / "LICENSE").read_text()
    # Published lists of these tags differ in order; this is the order of the network's outputs.
    order = ("guitar", "classical", "slow") if "mtt" in name else ("rock", "pop", "alternative")
    assert registry.info(name).classes[:3] == order
