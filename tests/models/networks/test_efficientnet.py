"""EfficientNet-B0: sizes, parameters, and the same numbers as another implementation."""

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'auricle[train]'")

from auricle.models.networks.efficientnet import EfficientNetB0  # noqa: E402
from tests.models.networks.randomised import (  # noqa: E402
    copy_in_order,
    noise,
    parameters,
    settle,
    trained_parts,
)

# Both sides compute in float32, in the same order but for the padding; embeddings of size 1, behind
# 81 convolutions of rounding, came within 2e-5. PyTorch's padding in the strided ones makes
# differences of 2.
TOLERANCE = 1e-4


@pytest.mark.parametrize(("channels", "features"), [(1, 4_006_972), (3, 4_007_548)])
def test_parameters_of_the_features(channels: int, features: int) -> None:
    assert parameters(EfficientNetB0(in_channels=channels).features) == features


def test_parameters_with_400_classes() -> None:
    assert parameters(EfficientNetB0()) == 4_519_372


@pytest.mark.parametrize(("frames", "bands"), [(128, 96), (187, 96), (33, 48), (1, 1)])
def test_takes_any_size(frames: int, bands: int) -> None:
    network = EfficientNetB0(n_classes=7).eval()
    with torch.no_grad():
        features = network.features(torch.zeros(2, 1, frames, bands))
        logits, embeddings = network(torch.zeros(2, frames, bands))
    assert features.shape == (2, 1280, -(-frames // 32), -(-bands // 32))
    assert logits.shape == (2, 7)
    assert embeddings.shape == (2, EfficientNetB0.embedding_size) == (2, 1280)


# The peer gets the size so that its zeros are placed for 128 x 96; without one it places them for
# each input, which odd sizes need: 187 x 45 is odd before the first and the second stride, and even
# before others.
@pytest.mark.parametrize(
    ("image_size", "frames", "bands"), [((128, 96), 128, 96), (224, 128, 96), (None, 187, 45)]
)
def test_agrees_with_efficientnet_pytorch(
    image_size: int | tuple[int, int] | None, frames: int, bands: int
) -> None:
    peers = pytest.importorskip(
        "efficientnet_pytorch", reason="needs: pip install efficientnet_pytorch"
    )
    mel = noise(4, frames, bands)
    network = settle(EfficientNetB0(), mel)
    peer = peers.EfficientNet.from_name(
        "efficientnet-b0", in_channels=1, num_classes=400, image_size=image_size
    ).eval()
    copy_in_order(network, peer)

    with torch.no_grad():
        logits, embeddings = network(mel)
        expected_embeddings = peer.extract_features(mel.unsqueeze(1)).mean(dim=(2, 3))
        expected_logits = peer(mel.unsqueeze(1))

    assert expected_embeddings.std() > 0.1
    torch.testing.assert_close(embeddings, expected_embeddings, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(logits, expected_logits, rtol=0, atol=TOLERANCE)


def test_a_channel_axis_may_be_given() -> None:
    mel = noise(2, 64, 48)
    network = settle(EfficientNetB0(), mel)
    with torch.no_grad():
        assert torch.equal(network(mel)[0], network(mel.unsqueeze(1))[0])


def test_all_parameters_are_trained() -> None:
    network = EfficientNetB0(n_classes=5, drop_path=0)
    assert trained_parts(network, noise(4, 64, 96)) == {
        name for name, _ in network.named_parameters()
    }


def test_residual_blocks_are_dropped_in_training_only() -> None:
    """With a rate of 0.999, the last residual block, 15th of 16, mostly returns its input."""
    network = EfficientNetB0(n_classes=5, drop_path=0.999)
    residual = [block for block in network.features if getattr(block, "residual", False)]
    rates = [block.drop_path for block in residual]
    assert len(residual) == 9  # of each stage, all blocks but the first
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.999 * 14 / 16)

    block = residual[-1]
    x = torch.randn(400, 192, 1, 1)
    with torch.no_grad():
        dropped = (block.train()(x) == x).flatten(1).all(dim=1)
        assert not (block.eval()(x) == x).flatten(1).all(dim=1).any()
    # 400 draws of a coin that falls on 0.874: three deviations are 0.05.
    assert float(dropped.float().mean()) == pytest.approx(rates[-1], abs=0.05)


def test_what_dropping_leaves_is_scaled_to_the_same_mean() -> None:
    from auricle.models.networks.efficientnet import _drop_path

    x = torch.full((10_000, 1, 1, 1), 3.0)
    # Mean of values that are 0 or 4, the deviation of which is 1.7: three deviations of the mean
    # are 0.05.
    assert float(_drop_path(x, 0.25).mean()) == pytest.approx(3, abs=0.06)
    assert set(_drop_path(x, 0.25).unique().tolist()) == {0, 4}
