"""The VGG baseline of Pons and Serra in PyTorch, to train or to start from the published weights.

Sources as in `auricle.models.convert.musicnn`, which makes the ONNX graph.
"""

from typing import Final, Self

from torch import Tensor, nn

from auricle.models.convert.musicnn import (
    N_CLASSES,
    VGG_EMBEDDING,
    VGG_MTT_POOLS,
    VGG_PARAMETERS,
    Pools,
    Weights,
    check_weights,
)
from auricle.models.networks.pons import (
    BatchNorm2d,
    conv_norm,
    load_conv_norm,
    load_layer,
    load_norm,
)

_CHANNELS: Final = 128


class VGG(nn.Module):
    """Five convolutions with poolings and a dense layer; 605,748 parameters with 50 classes.

    Convolutions are 3 x 3 with one zero on each side, which is "same"; poolings have no padding and
    ignore a rest that does not fill a window.

    Args:
        n_classes: Number of logits.
        pools: Size and stride of each layer's pooling, one of those in
            `auricle.models.convert.musicnn`, which turn 187 x 96 into 2 x 1.
    """

    embedding_size: Final = VGG_EMBEDDING

    def __init__(self, n_classes: int = N_CLASSES, pools: Pools = VGG_MTT_POOLS) -> None:
        super().__init__()
        self.mel_norm = BatchNorm2d(1)
        self.convs = nn.ModuleList(
            conv_norm(nn.Conv2d(_CHANNELS if index else 1, _CHANNELS, 3, padding=1))
            for index in range(len(pools))
        )
        self.pools = nn.ModuleList(nn.MaxPool2d(size, stride) for size, stride in pools)
        # The checkpoints were trained with this one after all poolings but the last.
        self.feature_dropout = nn.Dropout(0.25)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(self.embedding_size, n_classes)

    @classmethod
    def from_checkpoint(cls, weights: Weights, pools: Pools = VGG_MTT_POOLS) -> Self:
        """The network with published weights, in training mode as any new module.

        Args:
            weights: Arrays by their checkpoint names, without the optimizer's.
            pools: Size and stride of the poolings that the checkpoint was trained with, which the
                arrays do not show.

        Raises:
            ModelError: The arrays are not those of this network.
        """
        check_weights(weights, VGG_PARAMETERS, "VGG")
        network = cls(pools=pools)
        load_norm(network.mel_norm, weights, 0)
        for index, layer in enumerate(network.convs, start=1):
            load_conv_norm(layer, weights, f"{index}CNN", index)
        load_layer(network.classifier, weights, "dense")
        return network

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (batch, n_classes), before the sigmoid, and embeddings (batch, 256).

        Embeddings are the last pooling.

        Args:
            mel: Mel frames, shape (batch, 187, 96); the dense layer allows no other size.
        """
        x = self.mel_norm(mel.unsqueeze(1))
        *inner, last = zip(self.convs, self.pools, strict=True)
        for conv, pool in inner:
            x = self.feature_dropout(pool(conv(x)))
        conv, pool = last
        # Time, frequency, channel, as TensorFlow flattens.
        embeddings = pool(conv(x)).permute(0, 2, 3, 1).flatten(1)
        return self.classifier(self.dropout(embeddings)), embeddings
