"""ResNet-50: sizes, parameters, and the same numbers as another implementation."""

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'auricle[train]'")

from auricle.models.networks.resnet import ResNet50  # noqa: E402
from tests.models.networks.randomised import (  # noqa: E402
    copy_in_order,
    noise,
    parameters,
    settle,
    trained_parts,
)

# The same operations in float32 on values up to 10, which came out equal; another machine may sum
# the means in another order. A stride in the first convolution of a block instead of the second, or
# the epsilon of 1e-3 that the other networks have, makes differences of 4.
TOLERANCE = 1e-4


@pytest.mark.parametrize(("channels", "features"), [(1, 23_501_760), (3, 23_508_032)])
def test_parameters(channels: int, features: int) -> None:
    network = ResNet50(n_classes=10, in_channels=channels)
    assert parameters(network.features) == features
    assert parameters(network) == features + 4097 * 10


@pytest.mark.parametrize(("frames", "bands"), [(256, 96), (187, 96), (33, 48)])
def test_takes_any_size(frames: int, bands: int) -> None:
    network = ResNet50(n_classes=7).eval()
    with torch.no_grad():
        features = network.features(torch.zeros(2, 1, frames, bands))
        logits, embeddings = network(torch.zeros(2, frames, bands))
    assert features.shape == (2, 2048, -(-frames // 32), -(-bands // 32))
    assert logits.shape == (2, 7)
    assert embeddings.shape == (2, ResNet50.embedding_size) == (2, 4096)


@pytest.mark.parametrize(("frames", "bands"), [(256, 96), (129, 45)])
def test_agrees_with_transformers(frames: int, bands: int) -> None:
    transformers = pytest.importorskip("transformers", reason="needs: pip install transformers")
    mel = noise(3, frames, bands)
    network = settle(ResNet50(n_classes=4), mel)
    peer = transformers.ResNetModel(transformers.ResNetConfig(num_channels=1)).eval()
    copy_in_order(network.features, peer)

    with torch.no_grad():
        logits, embeddings = network(mel)
        expected = peer(mel.unsqueeze(1)).last_hidden_state  # (batch, 2048, positions, positions)
    pooled = torch.cat(
        [expected.flatten(2).max(dim=2).values, expected.flatten(2).mean(dim=2)], dim=1
    )
    assert pooled.std() > 0.1
    torch.testing.assert_close(embeddings, pooled, rtol=0, atol=TOLERANCE)
    with torch.no_grad():
        torch.testing.assert_close(logits, network.classifier(pooled), rtol=0, atol=TOLERANCE)


def test_maxima_come_before_means() -> None:
    mel = noise(2, 128, 96)
    network = settle(ResNet50(n_classes=1), mel)
    with torch.no_grad():
        _, embeddings = network(mel)
    maxima, means = embeddings.chunk(2, dim=1)
    assert (maxima >= means).all()
    assert (maxima > means).any()


def test_all_parameters_are_trained() -> None:
    network = ResNet50(n_classes=5)
    assert trained_parts(network, noise(4, 64, 96)) == {
        name for name, _ in network.named_parameters()
    }
