"""A small residual network for mel spectrograms, to be trained by larger ones as teachers.

Sources: the basic blocks of He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016),
figure 5, one in each of four stages, which makes ten layers with weights. Our changes: half their
channels or fewer; a stem of 5 x 5 without a pooling after it; every stage halves the resolution,
including the first; and the rest of the frequency axis is not pooled, since bands differ. Time is
pooled by maximum and mean, as in MusiCNN (Pons et al., ISMIR 2018).
"""

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

_STRIDES: Final = 32  # frames, and bands, of a position of the last feature map, rounded up


class ResNet10(nn.Module):
    """Four basic blocks, an embedding and a linear classifier.

    It has 3,978,380 parameters with 100 classes.

    Args:
        n_classes: Number of logits.
        widths: Channels of the stem and of each stage.
        embedding_size: Values of the embedding.
        n_mels: Bands of a frame; the embedding has separate weights for every 32 of them.
        dropout: Probability that a value of the embedding is zeroed before the classifier, in
            training.
    """

    def __init__(
        self,
        n_classes: int,
        widths: tuple[int, int, int, int, int] = (24, 48, 96, 192, 384),
        embedding_size: int = 512,
        n_mels: int = 96,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.mel_norm = nn.BatchNorm1d(n_mels)
        self.features = nn.Sequential(
            _conv_norm(1, widths[0], kernel=5, stride=2),
            nn.ReLU(),
            *(_BasicBlock(*pair) for pair in pairwise(widths)),
        )
        rows = -(-n_mels // _STRIDES)
        self.embedding = nn.Linear(2 * rows * widths[-1], embedding_size)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(embedding_size, n_classes)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (batch, n_classes), before the sigmoid, and embeddings (batch, embedding_size).

        The embedding is the penultimate layer before its ReLU.

        Args:
            mel: Mel frames, shape (batch, frames, n_mels); any number of frames.
        """
        mel = self.mel_norm(mel.transpose(1, 2)).transpose(1, 2)
        x = self.features(mel.unsqueeze(1))  # (batch, channels, frames / 32, bands / 32)
        pooled = torch.cat([x.amax(dim=2), x.mean(dim=2)], dim=1).flatten(1)
        embeddings = self.embedding(pooled)
        return self.classifier(self.dropout(relu(embeddings))), embeddings


class _BasicBlock(nn.Module):
    """Two convolutions of 3 x 3, the first with stride 2, beside a projection of 1 x 1."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv_norm(in_channels, out_channels, kernel=3, stride=2),
            nn.ReLU(),
            _conv_norm(out_channels, out_channels, kernel=3),
        )
        self.shortcut = _conv_norm(in_channels, out_channels, kernel=1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.layers(x) + self.shortcut(x))


def _conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))
