"""Common parts of MusiCNN and the VGG of Pons and Serra: a layer's order, and loading weights.

A checkpoint is given as arrays by its own names, read by `auricle.models.convert.tensor_bundle` and
without the optimizer's slots, which `auricle.models.convert.musicnn.model_arrays` leaves out.
"""

from functools import partial
from typing import Final

import numpy as np
import torch
from torch import nn

from auricle.models.convert.musicnn import BN_EPSILON, Weights, norm_name

# TensorFlow's momentum of 0.99 is the part that running statistics keep, PyTorch's the part they
# replace.
_MOMENTUM: Final = 0.01
BatchNorm1d = partial(nn.BatchNorm1d, eps=BN_EPSILON, momentum=_MOMENTUM)
BatchNorm2d = partial(nn.BatchNorm2d, eps=BN_EPSILON, momentum=_MOMENTUM)

_NORM_PARTS: Final = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def conv_norm(conv: nn.Conv1d | nn.Conv2d) -> nn.Sequential:
    """Convolution, ReLU, batch norm: the norm is last, so outputs may be negative.

    Args:
        conv: Convolution over shape (batch, channels, time) or (batch, channels, time, bands).
    """
    norm = BatchNorm2d if isinstance(conv, nn.Conv2d) else BatchNorm1d
    return nn.Sequential(conv, nn.ReLU(), norm(conv.out_channels))


def load_layer(layer: nn.Conv1d | nn.Conv2d | nn.Linear, weights: Weights, name: str) -> None:
    """Fill a convolution or dense layer from `name/kernel` and `name/bias`.

    Kernels are (window, in, out) in TensorFlow, where the window may have zero to two axes, and
    (out, in, window) in PyTorch. MusiCNN's middle layers are convolutions over time and all
    features of an image of one channel, (time, features, 1, out); here they are over time, and
    features are channels.

    Args:
        layer: Layer to fill.
        weights: Arrays by their checkpoint names.
        name: Name of the layer in the checkpoint.
    """
    kernel = weights[f"{name}/kernel"]
    if isinstance(layer, nn.Conv1d):
        kernel = kernel[:, :, 0]
    _load(layer, {"weight": np.moveaxis(kernel, (-1, -2), (0, 1)), "bias": weights[f"{name}/bias"]})


def load_norm(norm: nn.Module, weights: Weights, index: int) -> None:
    """Fill a batch norm from the checkpoint's batch norm number `index`, from 0."""
    _load(
        norm,
        {ours: weights[f"{norm_name(index)}/{theirs}"] for theirs, ours in _NORM_PARTS.items()},
    )


def load_conv_norm(layer: nn.Module, weights: Weights, name: str, index: int) -> None:
    """Fill a layer that `conv_norm` made.

    Args:
        layer: Layer to fill.
        weights: Arrays by their checkpoint names.
        name: Name of the convolution in the checkpoint.
        index: Number of the batch norm in the checkpoint, from 0.
    """
    conv, _, norm = layer.children()
    assert isinstance(conv, nn.Conv1d | nn.Conv2d)
    load_layer(conv, weights, name)
    load_norm(norm, weights, index)


def _load(layer: nn.Module, arrays: Weights) -> None:
    layer.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
