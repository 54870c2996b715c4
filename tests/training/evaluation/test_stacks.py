"""Stacks: which segments are side by side; principal components against an eigendecomposition."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="principal components are scikit-learn's")

from auricle.errors import TrainingError
from auricle.models.card import Card, FrontEndSpec, InferenceSpec, Schema, TensorSpec
from auricle.training.evaluation.stacks import Reduced, Source, Stack, fit_pca


def numbered(rows: int, first: int = 0) -> np.ndarray:
    return (first + np.arange(rows, dtype=np.float16))[:, np.newaxis]


def test_rows_are_nearest_in_time() -> None:
    # Centres: slow at 2, 5, 8 s; fast at 1, 2, ... 7 s. The last has nothing nearer than 7 s.
    slow = Source({"a": numbered(3, 100)}, hop_s=3, segment_s=4)
    fast = Source({"a": numbered(7)}, hop_s=1, segment_s=2)
    assert Stack([slow, fast])["a"].tolist() == [[100, 1], [101, 4], [102, 6]]
    assert Stack([fast, slow])["a"].tolist() == [[1, 100], [4, 101], [6, 102]]


def test_a_tie_goes_to_the_earlier_segment() -> None:
    # Centres: slow at 1, 3 s; fast at 0.5, 1.5, 2.5, 3.5 s.
    slow = Source({"a": numbered(2)}, hop_s=2, segment_s=2)
    fast = Source({"a": numbered(4)}, hop_s=1, segment_s=1)
    assert Stack([slow, fast])["a"][:, 1].tolist() == [0, 2]


def test_a_stack_has_the_tracks_that_all_have() -> None:
    stack = Stack(
        [Source({"a": numbered(1), "b": numbered(1)}, 1, 1), Source({"b": numbered(1)}, 1, 1)]
    )
    assert list(stack) == ["b"]
    assert "a" not in stack
    with pytest.raises(KeyError):
        stack["a"]


def test_times_come_from_the_card() -> None:
    card = Card(
        name="m",
        type="t",
        version="1",
        classes=("x",),
        io=Schema(inputs=(TensorSpec(name="i"),), outputs=(TensorSpec(name="o"),)),
        inference=InferenceSpec(sample_rate=16000),
        front_end=FrontEndSpec.of("musicnn"),
        segment_size=125,
    )
    source = Source.of({}, card, 250)
    assert (source.hop_s, source.segment_s) == (4.0, 2.0)
    with pytest.raises(TrainingError, match="m: the card lacks"):
        Source.of({}, card.model_copy(update={"segment_size": None}), 250)


def test_pca_equals_an_eigendecomposition() -> None:
    rng = np.random.default_rng(3)
    rows = (rng.normal(size=(60, 5)) * [5, 1, 3, 0.1, 0.5] + 7).astype(np.float32)
    pca = fit_pca(rows, 2)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    expected = (rows - rows.mean(axis=0)) @ vectors[:, np.argsort(-values)[:2]]
    reduced = Reduced({"a": rows}, pca)["a"]
    # Components have no sign. 1e-4: float32 values of about 10.
    np.testing.assert_allclose(np.abs(reduced), np.abs(expected), atol=1e-4)


def test_more_components_than_tracks_is_an_error() -> None:
    with pytest.raises(
        TrainingError, match="8 components of 6 training tracks with 10 dimensions; at most 6"
    ):
        fit_pca(np.zeros((6, 10), np.float32), 8)
