"""VGG in PyTorch against the ONNX graph and the numpy network, with random and real weights."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'auricle[train]'")
import torch

from auricle.errors import ModelError
from auricle.models.convert import musicnn
from auricle.models.networks.vgg import VGG
from tests.models import plain_networks
from tests.models.checkpoints import Arrays, checkpoint, run_onnx
from tests.models.networks.randomised import noise, parameters, trained_parts

# All sides compute the same function, in float32 but for numpy's float64. Sums of up to 1152
# products, five times over, leave rounding errors of 1e-5; the pools of the other data set give
# differences of 3.
TOLERANCE = 1e-4

POOLS = {"MTT": musicnn.VGG_MTT_POOLS, "MSD": musicnn.VGG_MSD_POOLS}


def run(weights: Arrays, mel: torch.Tensor, pools: musicnn.Pools) -> tuple[np.ndarray, np.ndarray]:
    network = VGG.from_checkpoint(weights, pools).eval()
    with torch.no_grad():
        logits, embeddings = network(mel)
    return logits.sigmoid().numpy(), embeddings.numpy()


def test_parameters() -> None:
    assert parameters(VGG()) == musicnn.VGG_PARAMETERS == 605_748


@pytest.mark.parametrize(
    ("corpus", "first_pools"), [("MTT", plain_networks.VGG_MTT), ("MSD", plain_networks.VGG_MSD)]
)
def test_computes_the_published_network(
    corpus: str, first_pools: list[plain_networks.Pool]
) -> None:
    weights = plain_networks.random_weights("vgg")
    mel = noise(2, 187, 96)
    found = run(weights, mel, POOLS[corpus])
    assert np.ptp(found[0]) > 0.2  # sigmoids that are not all stuck at one end
    for got, expected in zip(
        found, plain_networks.vgg(weights, mel.numpy(), first_pools), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("corpus", ["MTT", "MSD"])
def test_real_weights_give_what_the_onnx_graph_gives(real_wheel: Path, corpus: str) -> None:
    weights = musicnn.model_arrays(checkpoint(real_wheel, f"{corpus}_vgg"))
    mel = noise(2, 187, 96)
    found = run(weights, mel, POOLS[corpus])
    assert found[0].shape == (2, 50)
    assert found[1].shape == (2, VGG.embedding_size)
    graph = musicnn.build_vgg(weights, {}, POOLS[corpus])
    for got, expected in zip(found, run_onnx(graph, mel.numpy()), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)


def test_all_parameters_are_trained() -> None:
    network = VGG(n_classes=7)
    assert network(noise(2, 187, 96))[0].shape == (2, 7)
    assert trained_parts(network, noise(8, 187, 96)) == {
        name for name, _ in network.named_parameters()
    }


def test_arrays_of_another_network_are_refused() -> None:
    with pytest.raises(ModelError, match=r"VGG: 787159 trainable parameters in .* expected 605748"):
        VGG.from_checkpoint(plain_networks.random_weights("musicnn"))
