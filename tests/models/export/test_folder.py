"""Networks as model folders: file and engine give what the network gives, whatever is kept."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

pytest.importorskip("torch", reason="exports are made with torch: pip install 'auricle[train]'")
pytest.importorskip(
    "onnxscript", reason="exports are made with onnxscript: pip install 'auricle[train]'"
)

import torch

from auricle.errors import ModelError
from auricle.models.card import check_program, load_card
from auricle.models.export.folder import write_model_folder
from auricle.models.export.modules import MEL, segment_size
from auricle.models.export.options import Export, Precision
from auricle.models.inference.patches import PatchInference, open_patch_session
from auricle.models.inference.program import specialise
from auricle.models.inference.program_cache import ProgramShape
from auricle.models.networks.maest import KINDS, Kind, Maest, MaestConfig
from auricle.models.patchout import KEEP_F, KEEP_T, THESIS_LEVELS, Patchout
from auricle.models.published import MAEST_FRONT_END
from auricle.models.registry import verify

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning"
)  # the exporter's own

CONFIG = MaestConfig(312, n_classes=7, width=64, depth=3, n_heads=2)
LABELS = tuple("abcdefg")
TOLERANCE = 1e-4
"""Of ONNX against torch, as the requirement has it; float32 sums in another order give 1e-6 at this
size.
"""

SETTINGS = [*THESIS_LEVELS, Patchout(keep_every=7), Patchout(keep_every=2, drop_rows=(4,))]


@pytest.fixture(scope="module")
def network() -> Maest:
    torch.manual_seed(0)
    found = Maest(CONFIG)
    found.eval()
    return found


@pytest.fixture(scope="module")
def segments(network: Maest) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(0, 4, (segment_size(network), 96)).astype(np.float32) for _ in range(2)]


@pytest.fixture(scope="module")
def folder(
    network: Maest, segments: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("export") / "maest"
    write_model_folder(network, folder, Export("maest", labels=LABELS, block=1), segments, "noise")
    return folder


def scaled(mel: np.ndarray) -> np.ndarray:
    return ((mel - MAEST_FRONT_END.mean) / MAEST_FRONT_END.std).astype(np.float32)


def kept(folder: Path, patchout: Patchout) -> tuple[np.ndarray, np.ndarray]:
    grid = load_card(folder).patch_grid
    assert grid is not None
    columns, rows = grid.kept(patchout)
    return np.array(columns), np.array(rows)


def test_files_are_heard_once_over(folder: Path) -> None:
    """With a hop of a second, two minutes of music took eight minutes to tag."""
    card = load_card(folder)
    assert card.segment_size is not None
    assert card.segment_hop_size is not None
    assert card.segment_size // 2 < card.segment_hop_size <= card.segment_size
    assert card.segment_hop_size % 60 == 0


@pytest.mark.parametrize("patchout", SETTINGS, ids=str)
def test_file_equals_network(
    folder: Path, network: Maest, segments: list[np.ndarray], patchout: Patchout
) -> None:
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    columns, rows = kept(folder, patchout)
    for segment in segments:
        mel = scaled(segment)[None]
        activations, embeddings = session.run(
            ["activations", "embeddings"], {MEL: mel, KEEP_T: columns, KEEP_F: rows}
        )
        keep = (torch.from_numpy(columns), torch.from_numpy(rows))
        with torch.no_grad():
            logits, _ = network(torch.from_numpy(mel), *keep)
            expected = network.embed(torch.from_numpy(mel), 1, KINDS, *keep)
        np.testing.assert_allclose(
            activations, torch.sigmoid(logits).numpy(), rtol=0, atol=TOLERANCE
        )
        np.testing.assert_allclose(embeddings, expected.numpy(), rtol=0, atol=TOLERANCE)


def test_onnx_runtime_knows_the_forms(folder: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    found = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    gelus = found["Gelu"] + found["BiasGelu"]
    assert (gelus, found["Erf"], found["Softmax"]) == (CONFIG.depth, 0, CONFIG.depth)


@pytest.mark.parametrize("kinds", [("cls",), ("dist",), ("avg",), ("avg", "cls")], ids="-".join)
@pytest.mark.parametrize("block", [0, 2])
def test_embeddings_alone_stop_at_their_block(
    network: Maest, segments: list[np.ndarray], tmp_path: Path, kinds: tuple[Kind, ...], block: int
) -> None:
    card = write_model_folder(
        network, tmp_path / "short", Export("short", block=block, kinds=kinds)
    )
    assert card.classes == ()
    assert card.embedding_size == len(kinds) * CONFIG.width
    file = tmp_path / "short/model.onnx"
    blocks = sum(
        each.numel() for layer in network.blocks[: block + 1] for each in layer.parameters()
    )
    others = sum(
        each.numel() for name, each in network.named_parameters() if not name.startswith("blocks.")
    )
    assert file.stat().st_size < 4 * (blocks + others) + 200_000, "later blocks are not in the file"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    columns, rows = kept(tmp_path / "short", THESIS_LEVELS[2])
    mel = scaled(segments[0])[None]
    (found,) = session.run(None, {MEL: mel, KEEP_T: columns, KEEP_F: rows})
    with torch.no_grad():
        keep = (torch.from_numpy(columns), torch.from_numpy(rows))
        expected = network.embed(torch.from_numpy(mel), block, kinds, *keep)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=TOLERANCE)


def test_activations_alone_ask_for_no_block(network: Maest, tmp_path: Path) -> None:
    export = Export("labels", labels=LABELS, block=CONFIG.depth, kinds=())
    card = write_model_folder(network, tmp_path / "labels", export)
    assert [output.name for output in card.io.outputs] == ["activations"]
    assert [verdict.problem for verdict in verify(str(tmp_path / "labels"))] == [None]


@pytest.mark.parametrize("patchout", SETTINGS, ids=str)
def test_the_engine_projects_what_is_new_and_gives_the_same(
    folder: Path, network: Maest, patchout: Patchout
) -> None:
    size = segment_size(network)
    mel = np.random.default_rng(1).uniform(0, 4, (size + 240, 96)).astype(np.float32)
    card = load_card(folder)
    assert card.patch_grid is not None
    inference = PatchInference(open_patch_session(folder, ("cpu",), 1), card.patch_grid, patchout)
    keep = [torch.from_numpy(each) for each in kept(folder, patchout)]
    for position in range(0, 240, 60):
        segment = scaled(mel[position : position + size])
        activations, embeddings = inference.run(["activations", "embeddings"], position, segment)
        with torch.no_grad():
            logits, _ = network(torch.from_numpy(segment[None]), *keep)
            expected = network.embed(torch.from_numpy(segment[None]), 1, KINDS, *keep)
        np.testing.assert_allclose(
            activations, torch.sigmoid(logits).numpy(), rtol=0, atol=TOLERANCE
        )
        np.testing.assert_allclose(embeddings, expected.numpy(), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("precision", "least"), [("int8", 0.99), ("fp16", 0.9999)])
def test_other_precisions_say_how_far_they_are(
    network: Maest, segments: list[np.ndarray], tmp_path: Path, precision: Precision, least: float
) -> None:
    export = Export("small", labels=LABELS, block=1, precision=precision)
    card = write_model_folder(network, tmp_path / "small", export, segments, "noise")
    assert card.precision == precision
    assert card.deviation is not None
    assert card.deviation.cosine is not None
    assert least < card.deviation.cosine < 1.000001
    assert load_card(tmp_path / "small").deviation == card.deviation
    # The engine runs it too, on a CPU.
    assert card.patch_grid is not None
    session = open_patch_session(tmp_path / "small", ("cpu",), 1)
    inference = PatchInference(session, card.patch_grid, THESIS_LEVELS[2])
    segment = scaled(segments[0])
    (found,) = inference.run(["embeddings"], 0, segment)
    with torch.no_grad():
        keep = [torch.from_numpy(each) for each in kept(tmp_path / "small", THESIS_LEVELS[2])]
        expected = network.embed(torch.from_numpy(segment[None]), 1, KINDS, *keep).numpy()
    assert least < np.sum(found * expected) / np.linalg.norm(found) / np.linalg.norm(expected)


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_the_deviation_is_the_worst_of_all_that_was_tried(
    network: Maest, segments: list[np.ndarray], tmp_path: Path, precision: Precision
) -> None:
    export = Export("tried", LABELS, block=1, precision=precision, program=precision == "fp16")
    # Noise of different loudness, which is quantised differently.
    segments = [segments[0], segments[1] * 40, segments[1] / 40]
    card = write_model_folder(network, tmp_path / "tried", export, segments, "noise")
    session = onnxruntime.InferenceSession(
        tmp_path / "tried" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    differences, cosines = [], []
    for segment in segments:
        mel = scaled(segment)[None]
        for level in (THESIS_LEVELS[0], THESIS_LEVELS[-1]):
            keep = kept(tmp_path / "tried", level)
            inputs = [torch.from_numpy(each) for each in (mel, *keep)]
            outputs = [session.run(None, {MEL: mel, KEEP_T: keep[0], KEEP_F: keep[1]})]
            with torch.no_grad():
                logits, expected = (
                    network(*inputs)[0],
                    network.embed(inputs[0], 1, KINDS, *inputs[1:]).numpy(),
                )
                if precision == "fp16":  # as a GPU computes it
                    half = torch.export.load(tmp_path / "tried" / "model.pt2").module()
                    outputs.append([each.numpy() for each in half(*inputs)])
            for activations, embeddings in outputs:
                differences.append(np.abs(activations - torch.sigmoid(logits).numpy()).max())
                norms = np.linalg.norm(embeddings) * np.linalg.norm(expected)
                cosines.append(np.sum(embeddings * expected) / norms)
    assert min(cosines) < sorted(cosines)[1] - 1e-8, "or the worst could not be distinguished"
    assert card.deviation is not None
    assert card.deviation.activations == pytest.approx(max(differences), rel=1e-3)
    assert card.deviation.cosine is not None
    assert 1 - card.deviation.cosine == pytest.approx(1 - min(cosines), rel=0.02)


def test_what_half_precision_does_not_hold_is_refused(
    network: Maest, segments: list[np.ndarray], tmp_path: Path
) -> None:
    loud = copy.deepcopy(network)
    with torch.no_grad():
        loud.blocks[0].mlp.fc2.bias[3] = 1e5
    export = Export("loud", block=1, precision="fp16")
    with pytest.raises(ModelError, match="loud: its embeddings are not finite: noise"):
        write_model_folder(loud, tmp_path / "loud", export, segments, "noise")
    assert not (tmp_path / "loud").exists()


@pytest.mark.parametrize("patchout", SETTINGS[::3], ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_segments_of_a_batch_do_not_see_each_other(
    folder: Path, network: Maest, patchout: Patchout, batch: int
) -> None:
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    columns, rows = kept(folder, patchout)
    mel = (
        np.random.default_rng(5).normal(size=(batch, segment_size(network), 96)).astype(np.float32)
    )
    together = session.run(None, {MEL: mel, KEEP_T: columns, KEEP_F: rows})
    for row in range(batch):
        alone = session.run(None, {MEL: mel[row : row + 1], KEEP_T: columns, KEEP_F: rows})
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one[row], other[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", TOLERANCE), ("fp16", 2e-2)])
def test_program_for_one_shape_equals_the_network(
    network: Maest, tmp_path: Path, precision: Precision, tolerance: float
) -> None:
    """What torch-tensorrt is given to compile; half precision has three digits."""
    export = Export("both", labels=LABELS, block=1, precision=precision, program=True)
    card = write_model_folder(network, tmp_path / "both", export)
    path, digest = check_program(tmp_path / "both", card)
    assert digest == card.program_sha256
    assert card.patch_grid is not None
    size, level = segment_size(network), card.level("t3-f3")
    program, _ = specialise(path, ProgramShape(4, size, 96, card.patch_grid.kept(level)), "cpu")
    mel = np.random.default_rng(6).normal(size=(4, size, 96)).astype(np.float32)
    keep = [torch.from_numpy(each) for each in kept(tmp_path / "both", level)]
    with torch.no_grad():
        activations, embeddings = program.module()(torch.from_numpy(mel))
        logits, _ = network(torch.from_numpy(mel), *keep)
        expected = network.embed(torch.from_numpy(mel), 1, KINDS, *keep)
    assert (activations.dtype, embeddings.dtype) == (torch.float32, torch.float32)
    np.testing.assert_allclose(
        activations.numpy(), torch.sigmoid(logits).numpy(), rtol=0, atol=tolerance
    )
    np.testing.assert_allclose(embeddings.numpy(), expected.numpy(), rtol=0, atol=tolerance)
    assert next(network.parameters()).dtype == torch.float32, "the network itself is left alone"


class Means(torch.nn.Module):
    """A network with one head, in short."""

    def __init__(self) -> None:
        super().__init__()
        self.to_embedding = torch.nn.Linear(96, 8)
        self.to_label = torch.nn.Linear(8, 2)

    def forward(self, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embeddings = torch.tanh(self.to_embedding(mel)).mean(1)
        return self.to_label(embeddings), embeddings


@pytest.mark.parametrize("labels", [(), ("a", "b")])
def test_program_of_a_network_without_patches(tmp_path: Path, labels: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    network = Means()
    export = Export("net", labels, program=True, segment_size=40, hop_size=20)
    card = write_model_folder(network, tmp_path / "net", export)
    path, _ = check_program(tmp_path / "net", card)
    program, _ = specialise(path, ProgramShape(3, 40, 96, None), "cpu")
    mel = torch.randn(3, 40, 96)
    with torch.no_grad():
        logits, embeddings = network(mel)
        expected = [torch.sigmoid(logits), embeddings] if labels else [embeddings]
        for one, other in zip(program.module()(mel), expected, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=0, atol=1e-6)
    (verdict,) = verify(str(tmp_path / "net"))
    assert verdict.problem is None
    path.write_bytes(path.read_bytes()[:-1])
    (verdict,) = verify(str(tmp_path / "net"))
    assert verdict.problem is not None
    assert "model.pt2 is damaged" in verdict.problem


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"block": 0, "kinds": ()}, "neither labels nor kinds of tokens"),
        ({"block": 0, "labels": ("a",)}, "1 labels; the network has 7"),
        ({"block": 3}, "block=3 must be from 0 to 2"),
        ({"block": 0, "precision": "int8", "program": True}, "int8 is for CPUs"),
        ({"block": 0, "kinds": ("mean",)}, "kinds="),
    ],
)
def test_what_cannot_be_exported_leaves_nothing(
    network: Maest, tmp_path: Path, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=f"^x: .*{message}"):
        write_model_folder(network, tmp_path / "x", Export("x", **params))
    assert not list(tmp_path.iterdir())
