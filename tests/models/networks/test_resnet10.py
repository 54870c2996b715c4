"""The small residual network."""

import pytest

pytest.importorskip("torch", reason="networks are torch modules")

import torch
from torch.nn.functional import conv2d, relu

from auricle.models.networks.resnet10 import ResNet10
from tests.models.networks.randomised import noise, parameters, settle, trained_parts


def test_sizes() -> None:
    network = ResNet10(100).eval()
    assert parameters(network) == 3_978_380  # below the 5 million of a student
    with torch.no_grad():
        logits, embeddings = network(noise(2, 187, 96))
    assert logits.shape == (2, 100)
    assert embeddings.shape == (2, 512)
    assert (
        sum(
            1
            for m in network.modules()
            if isinstance(m, torch.nn.Conv2d) and m.kernel_size != (1, 1)
        )
        == 9
    )


def test_it_is_what_its_weights_say() -> None:
    mel = noise(3, 50, 64)
    network = settle(ResNet10(3, (2, 3, 4, 5, 6), 7, n_mels=64), mel)
    state = network.state_dict()

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance, scale, shift = (
            state[f"{name}.{part}"].view(1, -1, *[1] * (x.ndim - 2))
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    def conv(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{name}.0.weight"]
        return norm(conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2), f"{name}.1")

    x = norm(mel.transpose(1, 2), "mel_norm").transpose(1, 2)[:, None]
    x = relu(conv(x, "features.0", 2))
    for block in range(2, 6):
        name = f"features.{block}"
        inner = conv(relu(conv(x, f"{name}.layers.0", 2)), f"{name}.layers.2")
        x = relu(inner + conv(x, f"{name}.shortcut", 2))
    assert x.shape == (3, 6, 2, 2)  # 50 frames and 64 bands, 32 times fewer, rounded up
    pooled = torch.cat([x.max(2).values, x.mean(2)], 1).reshape(3, -1)
    embeddings = pooled @ state["embedding.weight"].T + state["embedding.bias"]
    logits = relu(embeddings) @ state["classifier.weight"].T + state["classifier.bias"]
    with torch.no_grad():
        found = network(mel)
    torch.testing.assert_close(found[0], logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], embeddings, rtol=1e-4, atol=1e-5)


def test_all_of_it_is_trained() -> None:
    network = ResNet10(5, (4, 4, 8, 8, 8), 16)
    assert trained_parts(network, noise(4, 100, 96)) == {
        name for name, _ in network.named_parameters()
    }


def test_dropout_is_before_the_classifier_in_training_only() -> None:
    network = settle(ResNet10(5, (4, 4, 8, 8, 8), 16, dropout=0.5), noise(4, 100, 96))
    mel = noise(1, 100, 96, seed=3)
    with torch.no_grad():
        assert torch.equal(network(mel)[0], network(mel)[0])
        network.dropout.train()
        first, second = network(mel), network(mel)
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
