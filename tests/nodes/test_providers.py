"""Providers: what is not there is passed over with one clear line, or is an error in one."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from engine.errors import AuricleError, ConfigError
from models import tensorrt_program
from models.card import load_card
from models.errors import ModelError
from models.files import sha256
from nodes import providers
from nodes.backbone import Backbone
from nodes.providers import usable
from tests.tiny import make_backbone

CPU = "CPUExecutionProvider"

no_cuda = pytest.mark.skipif(
    providers.CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA"
)
no_torch_tensorrt = pytest.mark.skipif(
    importlib.util.find_spec("torch_tensorrt") is not None, reason="torch_tensorrt is installed"
)


def with_program(folder: Path, **fields: Any) -> Path:
    """A model with something that is called a torch program."""
    make_backbone(folder)
    (folder / "model.pt2").write_bytes(b"a program")
    card = json.loads((folder / "card.json").read_text())
    card |= {"program": "model.pt2", "program_sha256": sha256(folder / "model.pt2"), **fields}
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@no_cuda
@no_torch_tensorrt
def test_one_line_for_all_that_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = with_program(tmp_path / "tiny")
    backbone = Backbone("b", model=str(folder), providers=["torch-tensorrt", "tensorrt", "cuda", "cpu"])
    backbone.start()
    assert backbone.statistics()["incremental"] is True, "it runs as on any CPU"
    assert backbone.places == 0
    backbone.stop()
    Backbone("b", model=str(folder), providers=["torch-tensorrt", "tensorrt", "cuda", "cpu"]).start()
    assert caplog.messages == [
        f"tiny: {folder}/model.onnx: no torch-tensorrt (torch_tensorrt is not installed) and no "
        f"TensorrtExecutionProvider and no CUDAExecutionProvider here; it runs on {CPU}"
    ]


def test_a_model_without_a_torch_program(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_backbone(tmp_path / "tiny")
    assert usable(folder, ("torch-tensorrt", "cpu")) == (CPU,)
    (line,) = caplog.messages
    assert "no torch-tensorrt (the model has no torch program: auricle models export --program" in line
    with pytest.raises(ConfigError, match="no execution provider 'torch-tensorrt' here: the model has no"):
        usable(folder, ("torch-tensorrt",))


@no_torch_tensorrt
def test_torch_tensorrt_alone_is_an_error_in_one_line(tmp_path: Path) -> None:
    folder = with_program(tmp_path / "tiny")
    backbone = Backbone("b", model=str(folder), providers=["torch-tensorrt"])
    with pytest.raises(ConfigError) as caught:
        backbone.start()
    assert str(caught.value).startswith(
        "b: no execution provider 'torch-tensorrt' here: torch_tensorrt is not installed; there are: "
    )
    assert "\n" not in str(caught.value)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """What is wrong with each provider, as if it had been tried."""
    troubles: dict[str, str | None] = {CPU: None}
    monkeypatch.setattr(providers, "_tried", lambda name: troubles.get(name, ""))
    monkeypatch.setattr(tensorrt_program, "missing", lambda card: troubles.get("torch-tensorrt", "no GPU"))
    return troubles


def test_what_is_behind_torch_tensorrt_is_not_needed(
    tmp_path: Path, pretended: dict[str, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_backbone(tmp_path / "tiny")
    pretended |= {"torch-tensorrt": None, providers.CUDA: None}
    assert usable(folder, ("torch-tensorrt", "cuda", "cpu")) == ("torch-tensorrt",)
    assert usable(folder, ("cuda", "torch-tensorrt", "cpu")) == (providers.CUDA, CPU)
    assert usable(folder, ("tensorrt", "cuda", "cpu")) == (providers.CUDA, CPU)
    assert caplog.messages == [
        f"tiny: {folder}/model.onnx: no TensorrtExecutionProvider here; it runs on {providers.CUDA}"
    ]


def test_a_build_for_gpus_without_a_gpu(
    tmp_path: Path, pretended: dict[str, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    """ONNX Runtime lists CUDA there, and silently runs on the CPU."""
    folder = make_backbone(tmp_path / "tiny")
    pretended |= {providers.CUDA: "its libraries or a GPU are missing"}
    assert usable(folder, ("cuda", "cpu")) == (CPU,)
    assert caplog.messages == [
        f"tiny: {folder}/model.onnx: no CUDAExecutionProvider (its libraries or a GPU are missing) here; it "
        f"runs on {CPU}"
    ]
    with pytest.raises(
        ConfigError, match="'CUDAExecutionProvider' here: its libraries or a GPU are missing;"
    ):
        usable(folder, ("cuda",))


def test_a_provider_is_tried_with_a_model_that_does_nothing() -> None:
    """The try itself, on the one provider that is everywhere."""
    session = onnxruntime.InferenceSession(providers._nothing(), providers=[CPU], enable_fallback=0)
    (found,) = session.run(None, {"a": [1.5]})
    assert found.tolist() == [1.5]
    assert providers._tried(CPU) is None
    assert providers._tried("ROCMExecutionProvider") == ""


def test_options_of_tensorrt_keep_engines_by_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    card = load_card(make_backbone(tmp_path / "tiny"))
    tensorrt, cuda = providers.with_options((providers.TENSORRT, providers.CUDA), card)
    assert cuda == providers.CUDA
    name, options = tensorrt
    assert name == providers.TENSORRT
    assert Path(options["trt_engine_cache_path"]).is_dir()
    assert card.sha256 is not None
    assert card.sha256[:16] in options["trt_engine_cache_path"]
    assert options["trt_fp16_enable"] == "False"
    half = card.model_copy(update={"precision": "fp16"})
    assert providers.with_options((providers.TENSORRT,), half)[0][1]["trt_fp16_enable"] == "True"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"program_sha256": "0" * 64}, "model.pt2 is damaged: its sha256 is not that of the card"),
        ({"program": "other.pt2"}, "no other.pt2 in "),
        ({"program_sha256": None}, "model.pt2 is damaged"),
    ],
)
def test_a_program_that_is_not_the_cards_is_not_read(
    tmp_path: Path, pretended: dict[str, str | None], fields: dict[str, Any], message: str
) -> None:
    pretended["torch-tensorrt"] = None
    folder = with_program(tmp_path / "tiny", **fields)
    backbone = Backbone("b", model=str(folder), providers=["torch-tensorrt", "cpu"])
    with pytest.raises(AuricleError, match=message) as caught:
        backbone.start()
    assert isinstance(caught.value.__cause__, ModelError)
    assert str(caught.value).startswith("b: model 'tiny': ")
