"""Verifying models: what is tried out, and how it is reported."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from auricle.models import pulling, registry
from auricle.models.files import sha256
from auricle.models.heads.head import save_head
from auricle.models.heads.mlp import Layer
from tests.tiny import make_backbone, make_transformer


def test_verify_loads_the_model(served: Path) -> None:
    folder = pulling.pull("vgg-mtt")
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
            "does not run on the card's 'segment_size' of 86 and 'front_end.n_mels' of 96, with "
            "'patch_grid' "
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
    tmp_path: Path, changes: dict[str, Any], message: str | None
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
