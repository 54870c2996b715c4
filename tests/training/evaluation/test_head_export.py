"""A trained head, in the engine."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="heads are trained with torch")
pytest.importorskip("pyarrow", reason="auricle.training.data.manifest reads Parquet")

from auricle.models.card import Card, InferenceSpec, Schema, TensorSpec
from auricle.models.heads.bank import HeadBank
from auricle.models.heads.head import load_head
from auricle.nodes.heads import Heads
from auricle.training.data.tasks import Task
from auricle.training.evaluation.comparison import Result
from auricle.training.evaluation.folds import fixed_fold
from auricle.training.evaluation.head_export import save_probe
from auricle.training.evaluation.probe import COLA, MAEST, Protocol, train_probe
from tests.training.clusters import SIZE, corpus, single

BACKBONE = Card(
    name="student",
    type="t",
    version="1",
    classes=("x",),
    io=Schema(inputs=(TensorSpec(name="i"),), outputs=(TensorSpec(name="o"),)),
    inference=InferenceSpec(sample_rate=16000),
    sha256="a" * 64,
)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("protocol", [COLA, MAEST], ids=lambda protocol: protocol.name)
def test_the_engine_says_what_torch_says(
    tmp_path: Path, protocol: Protocol, multilabel: bool
) -> None:
    manifest, store = corpus()
    one = single(manifest)
    task = Task("genre", one.classes, one.targets, multilabel, one.parts)
    fold = fixed_fold(task)
    probe = train_probe(store, task, fold.train, fold.validation, protocol)
    results = [Result("genre", "m", "accuracy", (0.5, 0.7))]
    by_class = {"jazz": Result("genre", "m", "recall", (1.0,))}
    save_probe(
        tmp_path / "genre", probe, task, BACKBONE, results, by_class, name="genre", licence="MIT"
    )

    node = Heads("heads", heads=(str(tmp_path / "genre"),))
    assert node.names() == ["genre"]
    head = load_head(tmp_path / "genre")
    embeddings = np.random.default_rng(8).normal(0, 3, (50, SIZE)).astype(np.float32)
    expected = probe.activations(embeddings)
    # float32 sums over at most 512 values, in another order.
    np.testing.assert_allclose(head(embeddings), expected, atol=1e-5)
    np.testing.assert_allclose(HeadBank([head])(embeddings)[0], expected, atol=1e-5)

    card = head.card
    assert card.classes == task.classes
    assert card.inference.embedding_model is not None
    assert card.inference.embedding_model.model_name == "student"
    assert card.inference.embedding_model.sha256 == "a" * 64
    assert card.licence == "MIT"
    assert card.dataset is not None
    assert card.dataset["size"] == "54 tracks"
    assert card.dataset["metrics"]["accuracy"]["mean"] == pytest.approx(0.6)
    assert card.dataset["metrics"]["accuracy"]["runs"] == 2
    assert card.dataset["classes"]["jazz"] == {"mean": 1.0, "deviation": None, "runs": 1}
