"""EfficientNet-B0 for mel spectrograms, the network of DiscogsEffNet.

Sources: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks"
(ICML 2019), table 1; the blocks are those of Sandler et al., "MobileNetV2" (CVPR 2018), with the
squeeze and excitation of Hu et al. (CVPR 2018); settings that the paper leaves open (batch norm,
dropped paths, padding) follow its TensorFlow code. As a music tagger: Alonso-Jimenez et al., "Music
Representation Learning Based on Editorial Metadata from Discogs" (ISMIR 2022): one input channel,
128 x 96 log-mel segments of 2.048 s, 400 styles, and the 1280 pooled values of the last convolution
as the embedding.
"""

from functools import partial
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from auricle.models.networks.same_conv import SameConv2d


class _Stage(NamedTuple):
    """A row of the paper's table 1. Only the first of its blocks has the stride."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    blocks: int


_STEM_CHANNELS: Final = 32
_STAGES: Final = (
    _Stage(expansion=1, kernel=3, stride=1, channels=16, blocks=1),
    _Stage(expansion=6, kernel=3, stride=2, channels=24, blocks=2),
    _Stage(expansion=6, kernel=5, stride=2, channels=40, blocks=2),
    _Stage(expansion=6, kernel=3, stride=2, channels=80, blocks=3),
    _Stage(expansion=6, kernel=5, stride=1, channels=112, blocks=3),
    _Stage(expansion=6, kernel=5, stride=2, channels=192, blocks=4),
    _Stage(expansion=6, kernel=3, stride=1, channels=320, blocks=1),
)
# The excitation is computed from a quarter of a block's input channels, not of its expanded ones.
_SQUEEZE: Final = 4
# TensorFlow's momentum of 0.99 is the part that running statistics keep, PyTorch's the part they
# replace.
_BatchNorm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


class EfficientNetB0(nn.Module):
    """EfficientNet-B0 and a linear classifier.

    Parameters with one input channel: 4,006,972 in `features`, and 1281 a class; 4,519,372 with 400
    classes. Convolutions are padded as TensorFlow's "same": any number of frames and bands is
    accepted, and 32 x 32 of them (rounded up) make one position of the last feature map, of which a
    128 x 96 segment has 4 x 3.

    Args:
        n_classes: Number of logits.
        in_channels: Number of input channels; 1 for a mel spectrogram.
        dropout: Probability that a value of the embedding is zeroed before the classifier, in
            training.
        drop_path: Factor of the probability `drop_path` * i / 16 with which an example skips block
            i of the 16, counted from 0, in training, if the block has a residual connection.
    """

    embedding_size: Final = 1280

    def __init__(
        self,
        n_classes: int = 400,
        in_channels: int = 1,
        dropout: float = 0.2,
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv_norm(in_channels, _STEM_CHANNELS, kernel=3, stride=2),
            nn.SiLU(),
            *_blocks(drop_path),
            _conv_norm(_STAGES[-1].channels, self.embedding_size, kernel=1),
            nn.SiLU(),
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.embedding_size, n_classes)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (batch, n_classes), before the sigmoid, and embeddings (batch, 1280).

        Args:
            mel: Mel frames, shape (batch, frames, bands) or (batch, in_channels, frames, bands).
        """
        x = self.features(mel.unsqueeze(1) if mel.dim() == 3 else mel)
        embeddings = x.mean(dim=(2, 3))
        return self.classifier(self.dropout(embeddings)), embeddings


def _blocks(drop_path: float) -> list["_InvertedBottleneck"]:
    blocks: list[_InvertedBottleneck] = []
    channels, total = _STEM_CHANNELS, sum(stage.blocks for stage in _STAGES)
    for stage in _STAGES:
        for index in range(stage.blocks):
            stride = 1 if index else stage.stride
            rate = drop_path * len(blocks) / total
            blocks.append(_InvertedBottleneck(channels, stage, stride, rate))
            channels = stage.channels
    return blocks


class _InvertedBottleneck(nn.Module):
    """MobileNetV2's block: expand 1 x 1, convolve and weigh each channel, project 1 x 1, add."""

    def __init__(self, in_channels: int, stage: _Stage, stride: int, drop_path: float) -> None:
        super().__init__()
        wide = in_channels * stage.expansion
        expand = [_conv_norm(in_channels, wide, kernel=1), nn.SiLU()] if stage.expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            _conv_norm(wide, wide, stage.kernel, stride, groups=wide),
            nn.SiLU(),
            _SqueezeExcitation(wide, in_channels // _SQUEEZE),
            _conv_norm(wide, stage.channels, kernel=1),
        )
        self.residual = stride == 1 and in_channels == stage.channels
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        if not self.residual:
            return y
        return x + (_drop_path(y, self.drop_path) if self.training else y)


class _SqueezeExcitation(nn.Module):
    """Weighs each channel by a number in [0, 1], computed from the means of all channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.layers(x)
        return x * weights


def _conv_norm(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    if stride > 1:
        conv: nn.Conv2d = SameConv2d(
            in_channels, out_channels, kernel, stride, groups=groups, bias=False
        )
    else:
        conv = nn.Conv2d(
            in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=False
        )
    return nn.Sequential(conv, _BatchNorm(out_channels))


def _drop_path(x: Tensor, rate: float) -> Tensor:
    """Zero whole examples of x (batch, ...), and scale the others so that the expectation stays.

    Huang et al., "Deep Networks with Stochastic Depth" (ECCV 2016), per example as in the
    TensorFlow code.
    """
    kept = torch.empty(len(x), 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(1 - rate)
    return x * kept / (1 - rate)
