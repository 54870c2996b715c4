"""Models on a GPU: the numbers of the CPU, in batches, and compiled once. Skipped without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.engine.scheduler import LiveScheduler, run_offline
from auricle.models.card import check_program, load_card
from auricle.models.inference.program import (
    ProgramRunner,
    TorchTensorrt,
    specialise,
)
from auricle.models.inference.program_cache import COMPILED, DESCRIPTION, ProgramCache, ProgramShape
from auricle.models.inference.providers import (
    CUDA,
    TENSORRT,
    TORCH_TENSORRT,
    unusable_reason,
    usable,
)
from auricle.models.patchout import Patchout
from auricle.models.registry import find
from tests.nodes.noise_stream import NoiseStream
from tests.tiny import LEVELS, make_backbone, make_transformer

TOLERANCE = 1e-2
"""GPUs multiply in TF32, whose ten bits are 1e-3 of each product of the order of one."""

HALF_COSINE = 0.999
"""Of embeddings computed in half precision to those in single precision."""

LABELS = tuple("abcdefg")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Compiled programs go where nobody else's are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AURICLE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "plain": make_backbone(folder / "plain"),
        "patches": make_transformer(folder / "patches"),
    }


@pytest.fixture(params=[CUDA, TENSORRT])
def provider(request: pytest.FixtureRequest, folders: dict[str, Path]) -> str:
    """One of ONNX Runtime's that is here."""
    what = unusable_reason(request.param, load_card(folders["plain"]))
    if what is not None:
        pytest.skip(
            f"needs {request.param}: {what or 'this ONNX Runtime has none; see the extra gpu'}"
        )
    return str(request.param)


def on(provider: str) -> list[str]:
    """With the GPU for what TensorRT leaves."""
    return [provider, CUDA, "cpu"] if provider == TENSORRT else [provider, "cpu"]


@pytest.mark.parametrize("params", [{}, {"patchout": "half"}, {"patchout": "least"}], ids=str)
def test_a_file_gives_the_numbers_of_the_cpu(
    provider: str, folders: dict[str, Path], params: dict[str, Any]
) -> None:
    for model in ["patches"] if params else ["plain", "patches"]:
        named = {"model": str(folders[model]), **params}
        plain, batched = (
            NoiseStream(0, **named),
            NoiseStream(0, providers=on(provider), batch=4, **named),
        )
        run_offline(plain.graph)
        run_offline(batched.graph)
        batched.assert_same(plain, TOLERANCE)


def test_live_streams_are_batched(
    provider: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[dict[str, Any]] = [
        {"model": str(folders["patches"]), "patchout": level.name} for level in LEVELS
    ]
    streams = [
        NoiseStream(
            n,
            True,
            f"s{n}",
            batch=4,
            batch_wait_s=0.05,
            deadline_s=10,
            providers=on(provider),
            **kinds[n % 3],
        )
        for n in range(12)
    ]
    statistics: dict[str, Any] = {}
    stop = streams[0].backbone.stop

    def look() -> None:
        statistics.update(statistics or streams[0].backbone.statistics())
        stop()

    monkeypatch.setattr(streams[0].backbone, "stop", look)
    scheduler = LiveScheduler([stream.graph for stream in streams], workers=2)
    scheduler.start()
    assert scheduler.wait(100)
    assert [run.error for run in scheduler.runs] == [None] * 12
    scheduler.close()
    assert max(map(int, statistics["batches"])) > 1
    for n, found in enumerate(streams):
        plain = NoiseStream(n, **kinds[n % 3])
        run_offline(plain.graph)
        found.assert_same(plain, TOLERANCE)


def test_tensorrt_keeps_its_programs(folders: dict[str, Path]) -> None:
    card = load_card(folders["plain"])
    if (what := unusable_reason(TENSORRT, card)) is not None:
        pytest.skip(f"needs TensorRT in ONNX Runtime: {what or 'it has none; see the extra gpu'}")
    from auricle.models.inference.sessions import with_options

    NoiseStream(0, model=str(folders["plain"]), providers=on(TENSORRT), batch=3).backbone.start()
    ((_, options), *_) = with_options([TENSORRT], folders["plain"], card)
    assert list(Path(options["trt_engine_cache_path"]).glob("*.engine"))


# -- torch-tensorrt --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> Any:
    """A small MAEST, where torch-tensorrt and a GPU are."""
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'auricle[gpu,train]'")
    pytest.importorskip(
        "onnxscript", reason="exports are made with onnxscript: pip install 'auricle[train]'"
    )
    pytest.importorskip("torch_tensorrt", reason="needs torch_tensorrt: pip install 'auricle[gpu]'")
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU that CUDA can use")
    from auricle.models.networks.maest import Maest, MaestConfig

    torch.manual_seed(0)
    return Maest(MaestConfig(312, n_classes=7, width=64, depth=3, n_heads=2)).eval()


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def exported(
    request: pytest.FixtureRequest, network: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    from auricle.models.export.folder import write_model_folder
    from auricle.models.export.options import Export

    folder = tmp_path_factory.mktemp("export") / f"maest-{request.param}"
    write_model_folder(
        network, folder, Export(folder.name, LABELS, block=1, precision=request.param, program=True)
    )
    return folder


class Counting(TorchTensorrt):
    """Counts what is compiled."""

    def __init__(self) -> None:
        self.compiled = 0

    def compile(self, program: Path, shape: ProgramShape, target: Path) -> None:
        self.compiled += 1
        super().compile(program, shape, target)


@pytest.mark.parametrize("level", ["full", "t3-f3"])
@pytest.mark.timeout(900)
def test_compiled_program_equals_the_torch_program_and_is_compiled_once(
    exported: Path, level: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    card = load_card(exported)
    assert unusable_reason(TORCH_TENSORRT, card) is None
    assert card.patch_grid is not None
    assert card.segment_size is not None
    path, digest = check_program(exported, card)
    kept = card.patch_grid.kept(card.level(level))
    shape = ProgramShape(4, card.segment_size, 96, kept)
    mel = np.random.default_rng(0).normal(size=(4, card.segment_size, 96)).astype(np.float32)
    program, _ = specialise(path, shape, "cpu")
    with torch.no_grad():
        expected = [each.numpy() for each in program.module()(torch.from_numpy(mel))]

    def start() -> Counting:
        compiler = Counting()
        cache = ProgramCache(tmp_path / "programs", compiler, path, digest, card.name)
        runner = ProgramRunner(cache, (card.segment_size or 0, 96), [0, 1])
        runner.prepare(4, kept)
        activations, embeddings = runner.run(mel, kept)
        np.testing.assert_allclose(activations, expected[0], rtol=0, atol=TOLERANCE)
        for one, other in zip(embeddings, expected[1], strict=True):
            assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > HALF_COSINE
        return compiler

    assert start().compiled == 1
    assert start().compiled == 0, "the second start reads what the first has kept"
    (folder,) = (tmp_path / "programs").glob("[!.]*")
    assert {each.name for each in folder.iterdir()} == {COMPILED, DESCRIPTION}
    (folder / COMPILED).write_bytes((folder / COMPILED).read_bytes()[:1000])
    caplog.clear()
    assert start().compiled == 1, "what is broken is compiled again"
    assert "cannot be used, and is compiled again" in caplog.messages[0]


@pytest.mark.timeout(1800)
def test_streams_through_torch_tensorrt(exported: Path) -> None:
    """The whole way of a stream; the card's five levels in two sizes of batches are compiled."""
    assert usable(find(exported), ("torch-tensorrt", "cpu")) == (TORCH_TENSORRT,)
    params: dict[str, Any] = {
        "model": str(exported),
        "patchout": Patchout(keep_every=2).model_dump(),
        "hop_size": 20,
    }
    plain = NoiseStream(0, **params)
    batched = NoiseStream(0, providers=["torch-tensorrt", "cpu"], batch=4, **params)
    run_offline(plain.graph)
    run_offline(batched.graph)
    assert len(plain.embeddings.tokens) > 3
    assert plain.embeddings.tokens.keys() == batched.embeddings.tokens.keys()
    for number, expected in plain.embeddings.tokens.items():
        found = batched.embeddings.tokens[number]
        assert found @ expected / np.linalg.norm(found) / np.linalg.norm(expected) > HALF_COSINE
    assert batched.backbone.statistics()["incremental"] is False
