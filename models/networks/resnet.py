"""ResNet-50 for mel spectrograms, pooled by maximum and mean.

Sources: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), table 1 and figure
5, with the stride in the 3 x 3 convolution of a block, as in all common implementations ("v1.5"),
not in its first 1 x 1. One input channel and the two poolings side by side: Alonso-Jimenez et al.,
"Pre-training Strategies Using Contrastive Learning and Playlist Information for Music
Classification and Similarity" (ICASSP 2023).
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu


class _Stage(NamedTuple):
    """Blocks of one width.

    The first has the stride; a block has `_EXPANSION` times `channels` outputs.
    """

    channels: int
    stride: int
    blocks: int


_STEM_CHANNELS: Final = 64
_STAGES: Final = (_Stage(64, 1, 3), _Stage(128, 2, 4), _Stage(256, 2, 6), _Stage(512, 2, 3))
_EXPANSION: Final = 4


class ResNet50(nn.Module):
    """ResNet-50 and a linear classifier.

    Parameters with one input channel: 23,501,760 in `features`, and 4097 a class. Padding is
    PyTorch's, half the kernel on each side whatever the stride: any number of frames and bands is
    accepted, and 32 x 32 of them (rounded up) make one position of the last feature map.

    Args:
        n_classes: Number of logits.
        in_channels: Number of input channels; 1 for a mel spectrogram.
    """

    embedding_size: Final = 4096

    def __init__(self, n_classes: int, in_channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv_norm(in_channels, _STEM_CHANNELS, kernel=7, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            *_blocks(),
        )
        self.classifier = nn.Linear(self.embedding_size, n_classes)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (batch, n_classes), before the sigmoid, and embeddings (batch, 4096).

        Embeddings are the maxima of all channels, then the means.

        Args:
            mel: Mel frames, shape (batch, frames, bands) or (batch, in_channels, frames, bands).
        """
        x = self.features(mel.unsqueeze(1) if mel.dim() == 3 else mel)
        embeddings = torch.cat([x.amax(dim=(2, 3)), x.mean(dim=(2, 3))], dim=1)
        return self.classifier(embeddings), embeddings


def _blocks() -> list["_Bottleneck"]:
    blocks: list[_Bottleneck] = []
    channels = _STEM_CHANNELS
    for stage in _STAGES:
        for index in range(stage.blocks):
            blocks.append(_Bottleneck(channels, stage.channels, 1 if index else stage.stride))
            channels = stage.channels * _EXPANSION
    return blocks


class _Bottleneck(nn.Module):
    """Narrow 1 x 1, convolve 3 x 3, widen 1 x 1, and add the input, projected if shapes differ."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        wide = channels * _EXPANSION
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != wide:
            self.shortcut = _conv_norm(in_channels, wide, kernel=1, stride=stride)
        self.layers = nn.Sequential(
            _conv_norm(in_channels, channels, kernel=1),
            nn.ReLU(),
            _conv_norm(channels, channels, kernel=3, stride=stride),
            nn.ReLU(),
            _conv_norm(channels, wide, kernel=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.shortcut(x) + self.layers(x))


def _conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))
