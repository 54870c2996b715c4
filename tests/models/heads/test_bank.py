"""Many heads as one product equal each head alone."""

import numpy as np
import pytest

from auricle.models.card import Activation, Card, InferenceSpec, Schema, TensorSpec
from auricle.models.heads.bank import HeadBank
from auricle.models.heads.head import Mlp
from auricle.models.heads.mlp import Layer


def head(sizes: list[int], last: Activation, seed: int) -> Mlp:
    """A head of the given layer sizes; relu between the layers."""
    rng = np.random.default_rng(seed)
    kinds: list[Activation] = ["relu" for _ in sizes[2:]]
    kinds.append(last)
    layers = tuple(
        Layer(
            rng.normal(size=(a, b)).astype(np.float32), rng.normal(size=b).astype(np.float32), kind
        )
        for a, b, kind in zip(sizes, sizes[1:], kinds, strict=False)
    )
    labels = tuple(f"label {i}" for i in range(sizes[-1]))
    schema = Schema(inputs=(TensorSpec(name="x"),), outputs=(TensorSpec(name="y"),))
    card = Card(
        name=f"head{seed}",
        type="",
        version="1",
        classes=labels,
        io=schema,
        inference=InferenceSpec(sample_rate=1),
    )
    return Mlp(layers, labels, card)


@pytest.mark.parametrize("segments", [1, 7])
@pytest.mark.parametrize(
    "shapes",
    [
        [([20, 10, 3], "softmax")],
        [([20, 10, 3], "softmax"), ([20, 10, 3], "sigmoid"), ([20, 10, 3], "softmax")],
        [([20, 10, 3], "sigmoid"), ([20, 4], "softmax"), ([20, 6], "softmax")],  # unequal depth
        [
            ([20, 5, 8, 2], "linear"),
            ([20, 1], "sigmoid"),
            ([20, 30, 12], "relu"),
            ([20, 7, 7], "softmax"),
        ],
        [([20, 10, 2 + n % 3], ["softmax", "sigmoid"][n % 2]) for n in range(50)],
    ],
    ids=["one", "alike", "one-layer", "mixed", "fifty"],
)
def test_bank_equals_each_head_alone(
    shapes: list[tuple[list[int], Activation]], segments: int
) -> None:
    heads = [head(sizes, last, seed) for seed, (sizes, last) in enumerate(shapes)]
    embeddings = np.random.default_rng(99).normal(size=(segments, 20)).astype(np.float32)
    results = HeadBank(heads)(embeddings)
    assert len(results) == len(heads)
    for result, each in zip(results, heads, strict=True):
        expected = each(embeddings)
        assert result.shape == expected.shape
        # The same float32 products, summed in another order: a few units in the last place.
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)
