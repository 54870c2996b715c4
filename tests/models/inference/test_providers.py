"""Providers: what is not there is passed over with one clear line, or is an error in one."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from auricle.errors import AuricleError, ConfigError, ModelError, ProviderError
from auricle.models.card import load_card
from auricle.models.files import sha256
from auricle.models.inference import program as tensorrt_program
from auricle.models.inference import providers
from auricle.models.inference.program_cache import CompiledProgram, ProgramShape
from auricle.models.inference.providers import unusable_reason, usable, usable_choices
from auricle.models.inference.sessions import open_batch_session, with_options
from auricle.nodes.backbone import Backbone
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
    backbone = Backbone(
        "b", model=str(folder), providers=["torch-tensorrt", "tensorrt", "cuda", "cpu"]
    )
    backbone.start()
    assert backbone.statistics()["incremental"] is True, "it runs as on any CPU"
    assert backbone.places == 0
    backbone.stop()
    Backbone(
        "b", model=str(folder), providers=["torch-tensorrt", "tensorrt", "cuda", "cpu"]
    ).start()
    assert caplog.messages == [
        f"tiny: {folder}/model.onnx: no torch-tensorrt (torch_tensorrt is not installed) and no "
        f"TensorrtExecutionProvider and no CUDAExecutionProvider here; it runs on {CPU}"
    ]


def test_a_model_without_a_torch_program(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_backbone(tmp_path / "tiny")
    assert usable(folder, ("torch-tensorrt", "cpu")) == (CPU,)
    (line,) = caplog.messages
    assert (
        "no torch-tensorrt (the model has no torch program: auricle models export --program" in line
    )
    with pytest.raises(ConfigError, match="providers: no 'torch-tensorrt' here: the model has no"):
        usable(folder, ("torch-tensorrt",))


@no_torch_tensorrt
def test_torch_tensorrt_alone_is_an_error_in_one_line(tmp_path: Path) -> None:
    folder = with_program(tmp_path / "tiny")
    backbone = Backbone("b", model=str(folder), providers=["torch-tensorrt"])
    with pytest.raises(ConfigError) as caught:
        backbone.start()
    assert str(caught.value).startswith(
        "b: providers: no 'torch-tensorrt' here: torch_tensorrt is not installed; there are: "
    )
    assert "\n" not in str(caught.value)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """What is wrong with each provider, as if it had been tried."""
    troubles: dict[str, str | None] = {CPU: None}
    monkeypatch.setattr(providers, "_tried", lambda name: troubles.get(name, ""))
    monkeypatch.setattr(
        tensorrt_program, "unusable_reason", lambda card: troubles.get("torch-tensorrt", "no GPU")
    )
    return troubles


def test_what_is_behind_torch_tensorrt_is_not_needed(
    tmp_path: Path, pretended: dict[str, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_backbone(tmp_path / "tiny")
    pretended |= {"torch-tensorrt": None, providers.CUDA: None}
    assert usable(folder, ("torch-tensorrt", "cuda", "cpu")) == ("torch-tensorrt",)
    assert usable_choices(folder, ("torch-tensorrt", "cuda", "cpu")) == (
        ("torch-tensorrt",),
        (providers.CUDA, CPU),
        (CPU,),
    )
    assert usable_choices(folder, ("cuda", "torch-tensorrt", "cpu")) == (
        (providers.CUDA, CPU),
        ("torch-tensorrt",),
        (CPU,),
    )
    assert usable(folder, ("cuda", "torch-tensorrt", "cpu")) == (providers.CUDA, CPU)
    assert usable(folder, ("tensorrt", "cuda", "cpu")) == (providers.CUDA, CPU)
    assert caplog.messages == [
        f"tiny: {folder}/model.onnx: no TensorrtExecutionProvider here; it runs on {providers.CUDA}"
    ]


class Broken(tensorrt_program.TorchTensorrt):
    """Compiles nothing.

    Attributes:
        tried: How often it was asked to.
    """

    tried = 0

    def traits(self) -> dict[str, str]:
        return {"gpu": "Toy 1"}

    def compile(self, *args: Any) -> None:
        Broken.tried += 1
        raise RuntimeError("Unsupported operator\naten::foo")


def outputs_of(backbone: Backbone) -> list[Any]:
    assert backbone._inference is not None, "it runs as on any CPU"
    segment = np.random.default_rng(0).normal(size=(backbone.segment_size, 96)).astype(np.float32)
    names = backbone._outputs.names
    return [each.tolist() for each in backbone._inference.run(names, 0, segment)]


def test_what_cannot_be_compiled_runs_on_the_next_with_one_line(
    tmp_path: Path,
    pretended: dict[str, str | None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tensorrt_program, "TorchTensorrt", Broken)
    monkeypatch.setattr(Broken, "tried", 0)
    pretended["torch-tensorrt"] = None
    folder = with_program(tmp_path / "tiny")
    plain = Backbone("b", model=str(folder), incremental=False)
    plain.start()
    for _ in range(2):
        backbone = Backbone(
            "b", model=str(folder), providers=["torch-tensorrt", "cpu"], incremental=False
        )
        backbone.start()
        assert backbone.places == 0
        assert outputs_of(backbone) == outputs_of(plain)
    (line,) = (message for message in caplog.messages if "is next" in message)
    assert line.startswith(f"tiny: torch-tensorrt failed, and {CPU} is next: tiny: ")
    assert line.endswith("model.pt2 cannot be compiled: Unsupported operator aten::foo")
    assert Broken.tried == 1, "it takes minutes"
    alone = Backbone("b", model=str(folder), providers=["torch-tensorrt"])
    with pytest.raises(AuricleError, match=r"^b: tiny: a batch of 1 cannot be run: .*aten::foo$"):
        alone.start()


class Powers(tensorrt_program.TorchTensorrt):
    """Makes programs that give segments and their squares."""

    def traits(self) -> dict[str, str]:
        return {"gpu": "Toy 1"}

    def compile(self, program: Path, shape: ProgramShape, target: Path) -> None:
        target.touch()

    def load(self, compiled: Path) -> CompiledProgram:
        return lambda segments: [segments, segments**2]


@pytest.mark.parametrize(
    "names",
    [("activations", "embeddings"), ("embeddings", "activations"), ("embeddings",)],
    ids=str,
)
def test_a_program_gives_the_outputs_that_are_asked_for_in_that_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tensorrt_program, "TorchTensorrt", Powers)
    folder = with_program(tmp_path / "tiny")
    card = load_card(folder)
    assert [output.name for output in card.io.outputs] == ["activations", "embeddings"]
    runner = tensorrt_program.open_program(folder, card, names)
    expected = {"activations": 3.0, "embeddings": 9.0}
    for size in (2, 1):
        runner.prepare(size, None)
        found = runner.run(np.full((size, 40, 96), 3, np.float32), None)
        assert [each.shape[0] for each in found] == [size] * len(names)
        assert [each[0, 0, 0] for each in found] == [expected[name] for name in names]


@no_cuda
def test_a_session_without_its_gpu_is_reported_and_runs_on_the_next(
    tmp_path: Path, pretended: dict[str, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    """ONNX Runtime warns, leaves CUDA out, and calls that a session."""
    pretended[providers.CUDA] = None
    folder = make_backbone(tmp_path / "tiny")
    backbone = Backbone("b", model=str(folder), providers=["cuda", "cpu"], incremental=False)
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        backbone.start()
    assert len(outputs_of(backbone)) == 2
    assert caplog.messages == [
        f"tiny: {providers.CUDA} failed, and {CPU} is next: tiny: {folder}/model.onnx cannot be "
        f"loaded: no {providers.CUDA} in its session"
    ]
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(AuricleError, match=r"^b: tiny: .* cannot be loaded: no CUDA"),
    ):
        Backbone("b", model=str(folder), providers=["cuda"]).start()


@pytest.mark.parametrize("fails", ["loading", "running"])
def test_a_gpu_without_memory_gives_way_to_the_next(
    tmp_path: Path,
    pretended: dict[str, str | None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fails: str,
) -> None:
    class Session:
        def __init__(self, source: str, options: Any, providers: list[Any], **more: Any) -> None:
            self._providers = [each if isinstance(each, str) else each[0] for each in providers]
            self._session = session(source, options, providers=[CPU], **more)
            self._fails = self._providers[0] != CPU
            if self._fails and fails == "loading":
                raise RuntimeError("CUDA failure 2:\nout of memory")

        def get_providers(self) -> list[str]:
            return self._providers

        def get_inputs(self) -> Any:
            return self._session.get_inputs()

        def get_outputs(self) -> Any:
            return self._session.get_outputs()

        def run(self, *args: Any) -> Any:
            if self._fails:
                raise RuntimeError("CUDA failure 2:\nout of memory")
            return self._session.run(*args)

    session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    pretended |= {providers.CUDA: None, providers.TENSORRT: None}
    folder = make_backbone(tmp_path / "tiny")
    names = ["tensorrt", "cuda", "cpu"]
    backbone = Backbone("b", model=str(folder), providers=names, incremental=False)
    backbone.start()
    assert len(outputs_of(backbone)) == 2
    first, second = caplog.messages
    assert first.startswith(
        f"tiny: {providers.TENSORRT} failed, and {providers.CUDA} is next: tiny: "
    )
    assert second.startswith(f"tiny: {providers.CUDA} failed, and {CPU} is next: tiny: ")
    assert all(line.endswith(": CUDA failure 2: out of memory") for line in (first, second))


def test_a_cache_that_cannot_be_written_leaves_the_cpu(
    tmp_path: Path,
    pretended: dict[str, str | None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    pretended[providers.TENSORRT] = None
    folder = make_backbone(tmp_path / "tiny")
    Backbone("b", model=str(folder), providers=["tensorrt", "cpu"]).start()
    (line,) = caplog.messages
    assert line.startswith(
        f"tiny: {providers.TENSORRT} failed, and {CPU} is next: "
        "tiny: compiled programs cannot be kept"
    )


def test_a_build_for_gpus_without_a_gpu(
    tmp_path: Path, pretended: dict[str, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    """ONNX Runtime lists CUDA there, and silently runs on the CPU."""
    folder = make_backbone(tmp_path / "tiny")
    pretended |= {providers.CUDA: "its libraries or a GPU are missing"}
    assert usable(folder, ("cuda", "cpu")) == (CPU,)
    assert caplog.messages == [
        f"tiny: {folder}/model.onnx: no CUDAExecutionProvider (its libraries or a GPU are missing) "
        f"here; it runs on {CPU}"
    ]
    with pytest.raises(
        ConfigError, match=r"^providers: no 'cuda' here: its libraries or a GPU are missing;"
    ):
        usable(folder, ("cuda",))


@pytest.mark.parametrize(
    ("available", "expected"), [(True, None), (False, "no GPU that CUDA can use")]
)
def test_torch_tensorrt_needs_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, available: bool, expected: str | None
) -> None:
    """Where it is installed, as if."""
    torch = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: available))
    installed = SimpleNamespace(__spec__=ModuleSpec("torch_tensorrt", None))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", installed)
    card = load_card(with_program(tmp_path / "tiny"))
    assert unusable_reason(providers.TORCH_TENSORRT) == expected
    assert unusable_reason(providers.TORCH_TENSORRT, card) == expected


def test_a_provider_is_tried_with_a_model_that_does_nothing() -> None:
    """The try itself, on the one provider that is everywhere."""
    session = onnxruntime.InferenceSession(
        providers._identity_model(), providers=[CPU], enable_fallback=0
    )
    (found,) = session.run(None, {"a": [1.5]})
    assert found.tolist() == [1.5]
    assert providers._tried(CPU) is None
    assert providers._tried("ROCMExecutionProvider") == ""


@pytest.fixture
def gpu_build(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], list[str]]:
    """ONNX Runtime as if built for GPUs: takes its sessions' providers, returns the calls made."""

    def pretend(there: list[str]) -> list[str]:
        calls: list[str] = []

        class Session:
            def __init__(self, *args: Any, providers: list[Any], **more: Any) -> None:
                calls.append("session")

            def get_providers(self) -> list[str]:
                return there

            def get_inputs(self) -> list[Any]:
                return []

            def get_outputs(self) -> list[Any]:
                return []

        def preload() -> None:
            print("what it says of missing files")
            calls.append("libraries")

        listed = [providers.TENSORRT, providers.CUDA, CPU]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
        monkeypatch.setattr(onnxruntime, "set_default_logger_severity", lambda level: None)
        monkeypatch.setattr(onnxruntime, "preload_dlls", preload, raising=False)
        monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
        return calls

    return pretend


@pytest.mark.parametrize("provider", [providers.CUDA, providers.TENSORRT])
def test_a_gpu_is_tried_with_the_libraries_that_pip_installed(
    provider: str, gpu_build: Callable[[list[str]], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    tried = providers._tried.__wrapped__  # whatever other tests have tried
    calls = gpu_build([provider, CPU])
    assert tried(provider) is None
    assert calls == ["libraries", "session"], "they have to be there first"
    assert capsys.readouterr().out == ""
    gpu_build([CPU])
    assert tried(provider) == "its libraries or a GPU are missing"


@pytest.mark.parametrize("provider", [providers.CUDA, providers.TENSORRT])
def test_a_session_has_the_first_provider_or_is_an_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpu_build: Callable[[list[str]], list[str]],
    provider: str,
) -> None:
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    folder = make_backbone(tmp_path / "tiny")
    gpu_build([CPU])
    with pytest.raises(
        ProviderError, match=rf"^tiny: .* cannot be loaded: no {provider} in its session$"
    ):
        open_batch_session(folder, (provider, CPU), 1)
    gpu_build([provider, CPU])
    assert open_batch_session(folder, (provider, CPU), 1).get_providers() == [provider, CPU]
    gpu_build([CPU])
    assert open_batch_session(folder, (CPU, provider), 1), "those behind it may be missing"


def test_options_of_tensorrt_keep_programs_by_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    folder = make_backbone(tmp_path / "tiny")
    card = load_card(folder)
    tensorrt, cuda = with_options((providers.TENSORRT, providers.CUDA), folder, card)
    assert cuda == providers.CUDA
    name, options = tensorrt
    assert name == providers.TENSORRT
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "True"
    assert Path(options["trt_engine_cache_path"]).is_dir()
    assert card.sha256 is not None
    assert card.sha256[:16] in options["trt_engine_cache_path"]
    assert options["trt_fp16_enable"] == "False"
    half = card.model_copy(update={"precision": "fp16"})
    assert with_options((providers.TENSORRT,), folder, half)[0][1]["trt_fp16_enable"] == "True"
    # The name would not do: another file may have it.
    nameless = card.model_copy(update={"sha256": None})
    assert with_options((providers.TENSORRT,), folder, nameless)[0][1] == options


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
