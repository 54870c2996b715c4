"""MusiCNN in PyTorch, to train or to start from the published weights.

Sources as in `auricle.models.convert.musicnn`, which makes the ONNX graph: Pons et al., "End-to-end
learning for music audio tagging at scale" (ISMIR 2018), and the layer order of the `musicnn` 0.1.0
wheel. Here the layers are in that order, so that training is the authors'; the graph's
rearrangements are valid for inference only.
"""

from typing import Final, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from auricle.models.convert.musicnn import (
    MUSICNN_EMBEDDING,
    MUSICNN_PARAMETERS,
    N_CLASSES,
    Weights,
    check_weights,
)
from auricle.models.networks.pons import (
    BatchNorm1d,
    BatchNorm2d,
    conv_norm,
    load_conv_norm,
    load_layer,
    load_norm,
)
from auricle.models.networks.same_conv import SameConv2d

# 0.4 and 0.7 of the 96 bands: the height of an instrument's spectral envelope.
_TIMBRAL_BANDS: Final = (38, 67)
_TIMBRAL_CHANNELS: Final = 204
_TEMPORAL_FRAMES: Final = (128, 64, 32)
_TEMPORAL_CHANNELS: Final = 51
_FRONT_CHANNELS: Final = (
    len(_TIMBRAL_BANDS) * _TIMBRAL_CHANNELS + len(_TEMPORAL_FRAMES) * _TEMPORAL_CHANNELS
)
_MIDDLE_CHANNELS: Final = 64
_SPAN: Final = 7  # frames, of the kernels that are not temporal


class MusiCNN(nn.Module):
    """MusiCNN; 787,159 parameters with 50 classes.

    Padding: every convolution is "same" in time as TensorFlow has it (the even kernels of the
    temporal layers get the odd zero at the end) and has no padding in frequency, over which the
    maximum is taken. Any number of frames is accepted; the published weights were trained with 187
    (3 s).

    Args:
        n_classes: Number of logits.
    """

    embedding_size: Final = MUSICNN_EMBEDDING

    def __init__(self, n_classes: int = N_CLASSES) -> None:
        super().__init__()
        self.mel_norm = BatchNorm2d(1)
        timbral = (
            nn.Conv2d(1, _TIMBRAL_CHANNELS, (_SPAN, bands), padding=(_SPAN // 2, 0))
            for bands in _TIMBRAL_BANDS
        )
        temporal = (SameConv2d(1, _TEMPORAL_CHANNELS, (frames, 1)) for frames in _TEMPORAL_FRAMES)
        self.front = nn.ModuleList(conv_norm(conv) for conv in (*timbral, *temporal))
        self.middle = nn.ModuleList(
            conv_norm(nn.Conv1d(channels, _MIDDLE_CHANNELS, _SPAN, padding=_SPAN // 2))
            for channels in (_FRONT_CHANNELS, _MIDDLE_CHANNELS, _MIDDLE_CHANNELS)
        )
        pooled = 2 * (_FRONT_CHANNELS + 3 * _MIDDLE_CHANNELS)
        self.pooled_norm = BatchNorm1d(pooled)
        self.dense = nn.Linear(pooled, self.embedding_size)
        self.dense_norm = BatchNorm1d(self.embedding_size)
        self.classifier = nn.Linear(self.embedding_size, n_classes)
        self.dropout = nn.Dropout(0.5)

    @classmethod
    def from_checkpoint(cls, weights: Weights) -> Self:
        """The network with published weights, in training mode as any new module.

        Args:
            weights: Arrays by their checkpoint names, without the optimizer's.

        Raises:
            ModelError: The arrays are not those of this network.
        """
        check_weights(weights, MUSICNN_PARAMETERS, "MusiCNN")
        network = cls()
        load_norm(network.mel_norm, weights, 0)
        for index, layer in enumerate((*network.front, *network.middle)):
            name = f"conv2d_{index}" if index else "conv2d"
            load_conv_norm(layer, weights, name, index + 1)
        load_norm(network.pooled_norm, weights, 9)
        load_layer(network.dense, weights, "dense")
        load_norm(network.dense_norm, weights, 10)
        load_layer(network.classifier, weights, "dense_1")
        return network

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (batch, n_classes), before the sigmoid, and embeddings (batch, 200).

        The embedding is the penultimate layer before its ReLU and batch norm, as in
        `auricle.models.convert.musicnn`.

        Args:
            mel: Mel frames, shape (batch, frames, 96).
        """
        x = self.mel_norm(mel.unsqueeze(1))
        # (batch, 561, frames)
        front = torch.cat([layer(x).amax(dim=3) for layer in self.front], dim=1)
        mid1 = self.middle[0](front)
        mid2 = self.middle[1](mid1) + mid1
        mid3 = self.middle[2](mid2) + mid2
        features = torch.cat([front, mid1, mid2, mid3], dim=1)  # (batch, 753, frames)
        # Maximum and mean of a feature are adjacent: max 0, mean 0, max 1, ...
        pooled = torch.stack([features.amax(dim=2), features.mean(dim=2)], dim=2).flatten(1)
        embeddings = self.dense(self.dropout(self.pooled_norm(pooled)))
        hidden = self.dense_norm(relu(embeddings))
        return self.classifier(self.dropout(hidden)), embeddings
