"""VGGish: both forms, their parameters, and the same numbers as another implementation."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'auricle[train]'")

from auricle.models.networks.vggish import VGGish  # noqa: E402
from tests.models.networks.randomised import copy_in_order, noise, parameters, trained_parts  # noqa: E402

PLAYLISTS: dict[str, Any] = {"frames": 256, "bands": 96, "first_pool": 4}

# The same operations in float32, which came out equal; sums of 12,288 products leave 1e-5 where the
# order is another. Features flattened in another order make differences of 10.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def peer() -> ModuleType:
    """VGGish of torch_vggish_yamnet.

    The package as a whole needs torchaudio, which its network does not.
    """
    spec = importlib.util.find_spec("torch_vggish_yamnet")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs: pip install --no-deps torch_vggish_yamnet")
    path = Path(spec.submodule_search_locations[0]) / "vggish" / "model.py"
    found = importlib.util.spec_from_file_location("vggish_peer", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("form", [{}, PLAYLISTS], ids=["audioset", "playlists"])
def test_parameters_and_shapes(form: dict[str, Any]) -> None:
    network = VGGish(n_classes=10, **form)
    assert parameters(network.features) == 4_499_712
    assert network.dense[0].in_features == 12_288
    assert parameters(network.features) + parameters(network.dense) == 72_141_184
    assert parameters(network.classifier) == 129 * 10

    with torch.no_grad():
        logits, embeddings = network(noise(2, form.get("frames", 96), form.get("bands", 64)))
    assert logits.shape == (2, 10)
    assert embeddings.shape == (2, VGGish.embedding_size) == (2, 128)


def test_agrees_with_torch_vggish_yamnet(peer: ModuleType) -> None:
    network = VGGish(n_classes=1)
    reference = peer.VGGish()
    del network.classifier  # which the other has not
    copy_in_order(network, reference)
    network.classifier = torch.nn.Identity()

    mel = noise(3, 96, 64)
    with torch.no_grad():
        activated, embeddings = network(mel)
        expected = reference(
            mel.unsqueeze(1)
        )  # behind a ReLU, where ours, and AudioSet's, are before it
    assert float(embeddings.min()) < -0.1
    assert expected.std() > 0.1
    torch.testing.assert_close(embeddings.relu(), expected, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(activated, expected, rtol=0, atol=TOLERANCE)


def test_playlist_form_is_the_audioset_form_but_for_the_first_pooling(peer: ModuleType) -> None:
    """The same layers in both: with its first pooling exchanged, a peer gives our other form."""
    network = VGGish(n_classes=1, **PLAYLISTS)
    reference = peer.VGGish()
    reference.features[2] = torch.nn.MaxPool2d(4)
    del network.classifier
    copy_in_order(network, reference)
    network.classifier = torch.nn.Identity()

    mel = noise(2, 256, 96)
    with torch.no_grad():
        torch.testing.assert_close(
            network(mel)[0], reference(mel.unsqueeze(1)), rtol=0, atol=TOLERANCE
        )


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"frames": 100}, "frames=100 must be a multiple of 16"),
        ({"bands": 0}, "bands=0 must be a multiple of 16"),
        ({"frames": 256, "bands": 80, "first_pool": 4}, "bands=80 must be a multiple of 32"),
    ],
)
def test_sizes_that_the_poolings_do_not_divide_are_refused(
    form: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        VGGish(n_classes=1, **form)


def test_new_weights_keep_the_size_of_the_signal() -> None:
    with torch.no_grad():
        _, embeddings = VGGish(n_classes=1)(noise(4, 96, 64))
    assert 0.3 < float(embeddings.std()) < 30


def test_all_parameters_are_trained() -> None:
    network = VGGish(n_classes=3, frames=32, bands=32)
    assert trained_parts(network, noise(8, 32, 32)) == {
        name for name, _ in network.named_parameters()
    }
