"""The ONNX graphs against the plain numpy networks, and the real checkpoints."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from auricle.errors import ModelError
from auricle.models.convert import musicnn
from tests.models import plain_networks
from tests.models.checkpoints import checkpoint, run_onnx

# Both sides compute the same function, one in float32 and one in float64. Sums of up to 4000
# products leave rounding errors of 1e-5; a wrong order of layers or of pooled features gives
# differences above 0.1.
TOLERANCE = 1e-4

BUILD: dict[str, Callable[..., onnx.ModelProto]] = {
    "musicnn": musicnn.build_musicnn,
    "vgg": musicnn.build_vgg,
    "vgg-msd": partial(musicnn.build_vgg, pools=musicnn.VGG_MSD_POOLS),
}
REFERENCE: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "musicnn": plain_networks.musicnn,
    "vgg": plain_networks.vgg,
    "vgg-msd": partial(plain_networks.vgg, first_pools=plain_networks.VGG_MSD),
}


def noise(batch: int) -> np.ndarray:
    """Something like log-mel: most values between 0 and 4, changing slowly in time."""
    rng = np.random.default_rng(1)
    slow = np.repeat(rng.uniform(0, 3, (batch, 11, 96)), 17, axis=1)
    return (slow + rng.uniform(0, 1, slow.shape)).astype(np.float32)


@pytest.mark.parametrize("network", ["musicnn", "vgg"])
def test_graph_computes_the_published_network(network: str) -> None:
    weights = plain_networks.random_weights(network)
    mel = noise(2)
    activations, embeddings = run_onnx(BUILD[network](weights, {}), mel)
    expected_activations, expected_embeddings = REFERENCE[network](weights, mel)

    assert np.ptp(expected_activations) > 0.2  # sigmoids that are not all stuck at one end
    np.testing.assert_allclose(embeddings, expected_embeddings, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(activations, expected_activations, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("network", ["musicnn", "vgg"])
def test_segments_of_a_batch_do_not_touch_one_another(network: str) -> None:
    model = BUILD[network](plain_networks.random_weights(network), {})
    mel = noise(3)
    together = run_onnx(model, mel)
    for i in range(3):
        for batch, alone in zip(together, run_onnx(model, mel[i : i + 1]), strict=True):
            # Other batch sizes may be summed in another order.
            np.testing.assert_allclose(batch[i], alone[0], rtol=0, atol=1e-5)


def test_model_file_carries_the_metadata() -> None:
    model = musicnn.build_vgg(plain_networks.random_weights("vgg"), {"sample_rate": "16000"})
    meta = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_modelmeta()
    assert meta.custom_metadata_map == {"sample_rate": "16000"}


def test_optimizer_slots_are_dropped_and_not_counted() -> None:
    weights = plain_networks.random_weights("musicnn")
    trained = weights | {
        "dense/bias/Adam": np.ones(200),
        "dense/bias/Adam_1": np.ones(200),
        "beta1_power": np.ones(()),
    }
    kept = musicnn.model_arrays(trained)
    assert kept.keys() == weights.keys()
    assert musicnn.trainable_parameters(kept) == 787_159


def test_arrays_of_another_network_are_refused() -> None:
    with pytest.raises(
        ModelError, match=r"MusiCNN: 605748 trainable parameters in .* expected 787159"
    ):
        musicnn.build_musicnn(plain_networks.random_weights("vgg"), {})


def test_nan_in_the_weights_is_refused() -> None:
    weights = plain_networks.random_weights("vgg")
    weights["3CNN/bias"][5] = np.nan
    with pytest.raises(ModelError, match="VGG: array '3CNN/bias' has values that are not finite"):
        musicnn.build_vgg(weights, {})


@pytest.mark.parametrize(
    ("name", "network", "parameters", "slots"),
    [
        ("MTT_musicnn", "musicnn", 787_159, 84),
        ("MSD_musicnn", "musicnn", 787_159, 84),
        ("MTT_vgg", "vgg", 605_748, 48),
        ("MSD_vgg", "vgg-msd", 605_748, 48),
    ],
)
def test_real_checkpoints(
    real_wheel: Path, name: str, network: str, parameters: int, slots: int
) -> None:
    arrays = checkpoint(real_wheel, name)
    weights = musicnn.model_arrays(arrays)
    assert sum("/Adam" in array for array in arrays) == slots
    assert musicnn.trainable_parameters(weights) == parameters

    mel = noise(1)
    found = run_onnx(BUILD[network](weights, {}), mel)
    for got, expected in zip(found, REFERENCE[network](weights, mel), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("musicnn-mtt", "musicnn"),
        ("musicnn-msd", "musicnn"),
        ("vgg-mtt", "vgg"),
        ("vgg-msd", "vgg-msd"),
    ],
)
def test_real_models_agree_with_essentia(real_wheel: Path, name: str, network: str) -> None:
    """From Essentia's own mel frames, so that only the network is compared.

    Both compute in float32; the activations, sigmoids of sums of a few thousand products, came
    within 2e-6 of each other.
    """
    reference = np.load(Path(__file__).parents[2] / "data/reference.npz")
    mel = reference["mel_musicnn"]
    segments = np.stack([mel[start : start + 187] for start in range(0, len(mel) - 186, 93)])
    kind, corpus = name.split("-")
    weights = musicnn.model_arrays(checkpoint(real_wheel, f"{corpus.upper()}_{kind}"))
    activations, embeddings = run_onnx(BUILD[network](weights, {}), segments)
    np.testing.assert_allclose(activations, reference[f"{name}/activations"], rtol=0, atol=1e-5)
    if kind == "musicnn":
        # Values up to 13, so float32 leaves 1e-5 of them.
        np.testing.assert_allclose(embeddings, reference[f"{name}/embeddings"], rtol=0, atol=1e-4)
