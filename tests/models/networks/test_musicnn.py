"""MusiCNN in PyTorch against the ONNX graph and the numpy network, with random and real weights."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'auricle[train]'")
import torch

from auricle.errors import ModelError
from auricle.models.convert import musicnn
from auricle.models.networks.musicnn import MusiCNN
from tests.models import plain_networks
from tests.models.checkpoints import Arrays, checkpoint, run_onnx
from tests.models.networks.randomised import noise, parameters, trained_parts

# All sides compute the same function, in float32 but for numpy's float64, in different orders: the
# ONNX graph pools before the norms. Sums of up to 4000 products leave rounding errors of 1e-5 in
# embeddings up to 18; swapped layers, or maxima and means in another order, give differences above
# 0.1.
TOLERANCE = 1e-4


def run(weights: Arrays, mel: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    network = MusiCNN.from_checkpoint(weights).eval()
    with torch.no_grad():
        logits, embeddings = network(mel)
    return logits.sigmoid().numpy(), embeddings.numpy()


def test_parameters() -> None:
    assert parameters(MusiCNN()) == musicnn.MUSICNN_PARAMETERS == 787_159


def test_computes_the_published_network() -> None:
    weights = plain_networks.random_weights("musicnn")
    mel = noise(2, 187, 96)
    found = run(weights, mel)
    assert np.ptp(found[0]) > 0.2  # sigmoids that are not all stuck at one end
    for got, expected in zip(found, plain_networks.musicnn(weights, mel.numpy()), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["MTT_musicnn", "MSD_musicnn"])
def test_real_weights_give_what_the_onnx_graph_gives(real_wheel: Path, name: str) -> None:
    weights = musicnn.model_arrays(checkpoint(real_wheel, name))
    mel = noise(2, 187, 96)
    found = run(weights, mel)
    assert found[0].shape == (2, 50)
    assert found[1].shape == (2, MusiCNN.embedding_size)
    for got, expected in zip(
        found, run_onnx(musicnn.build_musicnn(weights, {}), mel.numpy()), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)


def test_takes_other_numbers_of_frames_and_classes() -> None:
    network = MusiCNN(n_classes=7).eval()
    with torch.no_grad():
        logits, embeddings = network(noise(2, 60, 96))
    assert logits.shape == (2, 7)
    assert embeddings.shape == (2, 200)


def test_all_parameters_are_trained() -> None:
    network = MusiCNN()
    assert trained_parts(network, noise(4, 187, 96)) == {
        name for name, _ in network.named_parameters()
    }


def test_arrays_of_another_network_are_refused() -> None:
    with pytest.raises(
        ModelError, match=r"MusiCNN: 605748 trainable parameters in .* expected 787159"
    ):
        MusiCNN.from_checkpoint(plain_networks.random_weights("vgg"))
