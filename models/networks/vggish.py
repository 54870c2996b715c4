"""VGGish, for AudioSet's 64-band segments and for the 96-band segments of playlist training.

Sources: Hershey et al., "CNN Architectures for Large-Scale Audio Classification" (ICASSP 2017);
layer sizes, the order of the flattened features and the embedding follow `vggish_slim.py` of
AudioSet's published code. The 96-band form is that of Alonso-Jimenez et al., "Pre-training
Strategies Using Contrastive Learning and Playlist Information for Music Classification and
Similarity" (ICASSP 2023): 256 frames x 96 bands, and a first pooling of 4 x 4 in place of 2 x 2,
behind which the dense layers find the 12,288 values they expect.
"""

from itertools import pairwise
from typing import Final

from torch import Tensor, nn
from torch.nn.functional import relu

# Channels of the convolutions between one pooling and the next.
_STAGES: Final = ((64,), (128,), (256, 256), (512, 512))
_DENSE: Final = 4096


class VGGish(nn.Module):
    """VGGish and a linear classifier on its embedding.

    `VGGish(n)` is AudioSet's form, `VGGish(n, frames=256, bands=96, first_pool=4)` that of playlist
    training. Both have 72,141,184 parameters up to the embedding: 4,499,712 in the six
    convolutions, 67,641,472 in the three dense layers (12,288 -> 4096 -> 4096 -> 128). The
    classifier adds 129 a class.

    Convolutions are 3 x 3 with one zero on each side, poolings have no padding; as sizes have to
    divide, that is "same" for both. Weights are initialised as by He et al. (ICCV 2015): without
    batch norm, the deviation of 0.01 in AudioSet's code leaves hardly any signal after nine layers.

    Args:
        n_classes: Number of logits.
        frames: Frames of a segment.
        bands: Bands of a mel frame.
        first_pool: Size and stride of the first pooling, over both axes. The other three have 2.

    Raises:
        ValueError: Frames or bands are not a multiple of the product of the poolings.
    """

    embedding_size: Final = 128

    def __init__(
        self, n_classes: int, frames: int = 96, bands: int = 64, first_pool: int = 2
    ) -> None:
        super().__init__()
        shrink = first_pool * 2 ** (len(_STAGES) - 1)
        for name, size in (("frames", frames), ("bands", bands)):
            if size < 1 or size % shrink:
                raise ValueError(
                    f"VGGish: {name}={size} must be a multiple of {shrink}, for the poolings"
                )
        layers: list[nn.Module] = []
        channels = 1
        for index, stage in enumerate(_STAGES):
            for out_channels in stage:
                layers += [nn.Conv2d(channels, out_channels, 3, padding=1), nn.ReLU()]
                channels = out_channels
            layers.append(nn.MaxPool2d(2 if index else first_pool))
        self.features = nn.Sequential(*layers)

        flat = channels * (frames // shrink) * (bands // shrink)
        sizes = pairwise((flat, _DENSE, _DENSE, self.embedding_size))
        dense = [layer for size in sizes for layer in (nn.Linear(*size), nn.ReLU())]
        self.dense = nn.Sequential(*dense[:-1])  # the embedding is taken before its ReLU
        self.classifier = nn.Linear(self.embedding_size, n_classes)
        self.apply(_initialise)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (batch, n_classes), before the sigmoid, and embeddings (batch, 128).

        Embeddings are taken before their ReLU.

        Args:
            mel: Mel frames, shape (batch, frames, bands), of the sizes of the network.
        """
        x = self.features(mel.unsqueeze(1))
        # Time, frequency, channel, as TensorFlow flattens: the order of the published weights.
        embeddings = self.dense(x.permute(0, 2, 3, 1).flatten(1))
        return self.classifier(relu(embeddings)), embeddings


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
