"""Networks as recipes name them."""

from __future__ import annotations

from typing import Final

from torch import nn

from auricle.models.networks.efficientnet import EfficientNetB0
from auricle.models.networks.maest import Maest, MaestConfig, RandomPatchout
from auricle.models.networks.musicnn import MusiCNN
from auricle.models.networks.resnet import ResNet50
from auricle.models.networks.resnet10 import ResNet10
from auricle.training import recipe

N_MELS: Final = 96


def build(spec: recipe.Network, n_classes: int, segment_size: int) -> nn.Module:
    """The network of a recipe: from mel frames (batch, frames, 96) to (logits, embeddings).

    Args:
        spec: The network's fields in a recipe.
        n_classes: Number of logits.
        segment_size: Frames of a segment, for which MAEST has positions.
    """
    match spec:
        case recipe.EfficientNetB0():
            return EfficientNetB0(n_classes, dropout=spec.dropout, drop_path=spec.drop_path)
        case recipe.ResNet10():
            return ResNet10(n_classes, spec.widths, spec.embedding_size, N_MELS, spec.dropout)
        case recipe.ResNet50():
            return ResNet50(n_classes)
        case recipe.MusiCNN():
            return MusiCNN(n_classes)
        case recipe.Maest():
            return _maest(spec, n_classes, segment_size)


def _maest(spec: recipe.Maest, n_classes: int, segment_size: int) -> Maest:
    config = MaestConfig(segment_size, n_classes, spec.width, spec.depth, spec.n_heads)
    return Maest(config, RandomPatchout(spec.s_patchout_t, spec.s_patchout_f, spec.u_patchout))
