"""MusiCNN and the VGG baseline of Pons and Serra as ONNX graphs, made of their checkpoints.

Sources: Pons et al., "End-to-end learning for music audio tagging at scale" (ISMIR 2018); Pons and
Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging" (2019); the
layer order follows `models.py` of the `musicnn` 0.1.0 wheel (ISC): convolution, ReLU, batch norm,
then pooling.

Both graphs take `mel` (batch, 187, 96) and give `activations` (batch, 50), after the sigmoid, and
`embeddings`: for MusiCNN (batch, 200), the penultimate dense layer before its ReLU and batch norm
(`model/dense/BiasAdd`, which is what Essentia's published MusiCNN classifiers take); for VGG
(batch, 256), the flattened last pooling.

The MusiCNN graph computes the same function as the original in an order that is a quarter faster in
ONNX Runtime:

- *Pooling first.* Batch norm is r -> a r + b per channel, so a maximum over frequency of a ReLU'd,
  normalised map is a relu(max x) + b where a > 0, and a relu(min x) + b = a relu(-max(-x)) + b
  where a < 0. Flipping the sign of the kernels with negative a turns both into one max-pooling
  right after the convolution, and ReLU and batch norm run on one value per frame and channel
  instead of up to 96. Maxima do not round: only the place of the affine map changes.
- *Channels in multiples of 16.* ONNX Runtime has fast blocked kernels only for such counts. 204 and
  51 channels are padded to 208 and 64 with zero kernels, whose outputs meet zero weights. Measured
  with one AVX-512 thread: 11.6 against 14.4 ms for the five front-end convolutions.
- *Time along the rows after the front end.* Once frequency is gone, ONNX Runtime's kernels want the
  one long axis last: 0.42 against 0.73 ms for the first layer of the middle.
- *Affine maps of batch norms are folded* into the dense layer that follows them.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.models.convert.onnx_graph import OnnxGraph
from auricle.models.published import MUSICNN_SEGMENTS

Array = NDArray[Any]
Weights = Mapping[str, Array]

SEGMENT_SIZE: Final = MUSICNN_SEGMENTS.size
N_MELS: Final = MUSICNN_SEGMENTS.front_end.n_mels
N_CLASSES: Final = 50
MUSICNN_EMBEDDING: Final = 200
VGG_EMBEDDING: Final = 256
MUSICNN_PARAMETERS: Final = 787_159
VGG_PARAMETERS: Final = 605_748

Pools = tuple[tuple[tuple[int, int], tuple[int, int]], ...]
"""Size and stride of each layer's pooling, over (time, frequency)."""

VGG_MTT_POOLS: Final[Pools] = (
    ((4, 1), (2, 2)),
    ((2, 2), (2, 2)),
    ((2, 2), (2, 2)),
    ((2, 2), (2, 2)),
    ((4, 4), (4, 4)),
)
# The checkpoint trained on the Million Song Dataset has other first pools than the wheel's
# `models.py`, as its own graph (`MSD_vgg/.meta`) says. The sizes come out the same, the tags do
# not.
VGG_MSD_POOLS: Final[Pools] = (((4, 1), (4, 1)), ((1, 4), (1, 4)), *VGG_MTT_POOLS[2:])

BN_EPSILON: Final = 1e-3  # default of tf.layers.batch_normalization
_CHANNEL_BLOCK: Final = 16
_FRONT_END_KERNELS: Final = ("conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "conv2d_4")
_OPTIMIZER_SUFFIXES: Final = ("/Adam", "/Adam_1", "_power")


def model_arrays(arrays: Weights) -> dict[str, Array]:
    """The arrays without those that only training needs: the optimizer's slots and counters."""
    return {name: value for name, value in arrays.items() if not name.endswith(_OPTIMIZER_SUFFIXES)}


def trainable_parameters(weights: Weights) -> int:
    """Number of trained parameters: all arrays except the batch norms' moving statistics."""
    return sum(int(value.size) for name, value in weights.items() if "/moving_" not in name)


def build_musicnn(weights: Weights, metadata: Mapping[str, str]) -> bytes:
    """MusiCNN as a serialized ONNX model.

    Args:
        weights: Arrays by their checkpoint names; kernels are (time, frequency, in, out) or
            (in, out).
        metadata: Strings to write into the file, by key.

    Returns:
        The bytes of the file.

    Raises:
        ModelError: The arrays are not those of this network.
    """
    check_weights(weights, MUSICNN_PARAMETERS, "MusiCNN")
    g = OnnxGraph("musicnn")
    x = _normalised_input(g, weights)
    front, slots = _front_end(g, weights, x)  # (batch, sum of padded channels, 1, 187)

    mid1 = _mid_end_layer(g, weights, front, "conv2d_5", 6, slots)
    mid2 = g.op("Add", _mid_end_layer(g, weights, mid1, "conv2d_6", 7), mid1)
    mid3 = g.op("Add", _mid_end_layer(g, weights, mid2, "conv2d_7", 8), mid2)
    features = g.op("Concat", front, mid1, mid2, mid3, axis=1)
    width = len(slots) + 3 * weights["conv2d_7/kernel"].shape[-1]
    slots = np.concatenate([slots, np.ones(width - len(slots), bool)])
    pooled = g.op(
        "Concat", g.op("GlobalMaxPool", features), g.op("GlobalAveragePool", features), axis=1
    )

    # TensorFlow flattens (features, 2): max and mean of each feature are adjacent. Here all maxima
    # come first.
    scale, shift = _batch_norm(weights, 9)
    kernel = np.zeros((2, width, MUSICNN_EMBEDDING))
    folded = scale[:, None] * weights["dense/kernel"]
    kernel[:, slots] = folded.reshape(-1, 2, MUSICNN_EMBEDDING).swapaxes(0, 1)
    bias = weights["dense/bias"] + shift @ weights["dense/kernel"]
    embeddings = _dense(g, g.op("Flatten", pooled), kernel.reshape(2 * width, -1), bias, "dense")

    scale, shift = _batch_norm(weights, 10)
    kernel = scale[:, None] * weights["dense_1/kernel"]
    bias = weights["dense_1/bias"] + shift @ weights["dense_1/kernel"]
    logits = _dense(g, g.op("Relu", embeddings), kernel, bias, "dense_1")
    g.output(g.op("Sigmoid", logits), "activations", "batch", N_CLASSES)
    g.output(embeddings, "embeddings", "batch", MUSICNN_EMBEDDING)
    return g.serialize(metadata)


def build_vgg(weights: Weights, metadata: Mapping[str, str], pools: Pools = VGG_MTT_POOLS) -> bytes:
    """The VGG baseline as a serialized ONNX model.

    Args:
        weights: Arrays by their checkpoint names; kernels are (time, frequency, in, out) or
            (in, out).
        metadata: Strings to write into the file, by key.
        pools: Size and stride of the poolings that the checkpoint was trained with.

    Returns:
        The bytes of the file.

    Raises:
        ModelError: The arrays are not those of this network.
    """
    check_weights(weights, VGG_PARAMETERS, "VGG")
    g = OnnxGraph("vgg")
    x = _normalised_input(g, weights)
    for layer, (pool, strides) in enumerate(pools, start=1):
        name = f"{layer}CNN"
        x = _conv(
            g, x, _oihw(weights[f"{name}/kernel"]), weights[f"{name}/bias"], name, pads=[1, 1, 1, 1]
        )
        x = _batch_norm_op(g, weights, g.op("Relu", x), layer)
        x = g.op("MaxPool", x, kernel_shape=list(pool), strides=list(strides))
    # TensorFlow flattens (time, frequency, channel).
    embeddings = g.op("Flatten", g.op("Transpose", x, perm=[0, 2, 3, 1]))
    logits = _dense(g, embeddings, weights["dense/kernel"], weights["dense/bias"], "dense")
    g.output(g.op("Sigmoid", logits), "activations", "batch", N_CLASSES)
    g.output(embeddings, "embeddings", "batch", VGG_EMBEDDING)
    return g.serialize(metadata)


def check_weights(weights: Weights, parameters: int, network: str) -> None:
    """Check that arrays can be those of a network.

    Args:
        weights: Arrays by name.
        parameters: Number of trainable parameters expected.
        network: Name of the network, for messages.

    Raises:
        ModelError: There are more or fewer parameters, or a value is not finite.
    """
    found = trainable_parameters(weights)
    if found != parameters:
        raise ModelError(
            f"{network}: {found} trainable parameters in the checkpoint, expected {parameters}"
        )
    for name, value in weights.items():
        if not np.isfinite(value).all():
            raise ModelError(f"{network}: array '{name}' has values that are not finite")


def _normalised_input(g: OnnxGraph, weights: Weights) -> str:
    """Input and its batch norm, (batch, 1, 187, 96).

    The norm is not folded into kernels, since zeros are padded after it.
    """
    mel = g.input("mel", "batch", SEGMENT_SIZE, N_MELS)
    scale, shift = _batch_norm(weights, 0)
    x = g.op(
        "Add", g.op("Mul", mel, g.constant(scale, "mel_scale")), g.constant(shift, "mel_shift")
    )
    return g.op("Unsqueeze", x, g.constant(np.array([1]), "channel_axis"))


def _front_end(g: OnnxGraph, weights: Weights, x: str) -> tuple[str, NDArray[np.bool_]]:
    """Timbral and temporal layers.

    Returns:
        The tensor, (batch, padded channels, 1, 187), and which of these channels are not padding.
    """
    maps, affine, slots = [], [], []
    for index, name in enumerate(_FRONT_END_KERNELS, start=1):
        scale, shift = _batch_norm(weights, index)
        sign = np.where(scale < 0, -1.0, 1.0)
        kernel = _oihw(weights[f"{name}/kernel"] * sign)
        channels, _, time, frequency = kernel.shape
        padded = -(-channels // _CHANNEL_BLOCK) * _CHANNEL_BLOCK
        kernel = np.pad(kernel, ((0, padded - channels), (0, 0), (0, 0), (0, 0)))
        bias = np.pad(weights[f"{name}/bias"] * sign, (0, padded - channels))
        # TensorFlow's "same" puts the odd zero of an even kernel at the end. Frequency is not
        # padded.
        pads = [(time - 1) // 2, 0, time // 2, 0]
        conv = _conv(g, x, kernel, bias, name, pads=pads)
        maps.append(g.op("MaxPool", conv, kernel_shape=[1, N_MELS - frequency + 1]))
        affine.append(np.pad(np.stack([sign, scale, shift]), ((0, 0), (0, padded - channels))))
        slots.append(np.arange(padded) < channels)
    sign, scale, shift = (row.reshape(1, -1, 1, 1) for row in np.concatenate(affine, axis=1))
    x = g.op("Relu", g.op("Mul", g.op("Concat", *maps, axis=1), g.constant(sign, "front_sign")))
    x = g.op("Mul", x, g.constant(scale, "front_scale"))
    x = g.op("Add", x, g.constant(shift, "front_shift"))
    return g.op("Transpose", x, perm=[0, 1, 3, 2]), np.concatenate(slots)


def _mid_end_layer(
    g: OnnxGraph,
    weights: Weights,
    x: str,
    name: str,
    norm: int,
    slots: NDArray[np.bool_] | None = None,
) -> str:
    """Convolution over 7 frames and all channels of (batch, channels, 1, 187), ReLU, batch norm."""
    # (7, features, 1, 64) -> (64, features, 1, 7)
    kernel = weights[f"{name}/kernel"].transpose(3, 1, 2, 0)
    if slots is not None:
        wide = np.zeros((kernel.shape[0], len(slots), *kernel.shape[2:]), kernel.dtype)
        wide[:, slots] = kernel
        kernel = wide
    x = _conv(g, x, kernel, weights[f"{name}/bias"], name, pads=[0, 3, 0, 3])
    return _batch_norm_op(g, weights, g.op("Relu", x), norm)


def _conv(g: OnnxGraph, x: str, kernel: Array, bias: Array, name: str, pads: list[int]) -> str:
    kernel_name, bias_name = g.constant(kernel, f"{name}_kernel"), g.constant(bias, f"{name}_bias")
    return g.op("Conv", x, kernel_name, bias_name, kernel_shape=list(kernel.shape[2:]), pads=pads)


def _dense(g: OnnxGraph, x: str, kernel: Array, bias: Array, name: str) -> str:
    return g.op("Gemm", x, g.constant(kernel, f"{name}_kernel"), g.constant(bias, f"{name}_bias"))


def _batch_norm_op(g: OnnxGraph, weights: Weights, x: str, index: int) -> str:
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    names = [
        g.constant(weights[f"{norm_name(index)}/{part}"], f"bn_{index}_{part}") for part in parts
    ]
    return g.op("BatchNormalization", x, *names, epsilon=BN_EPSILON)


def _batch_norm(weights: Weights, index: int) -> tuple[Array, Array]:
    """Scale and shift equivalent to a trained batch norm, in float64."""
    name = norm_name(index)
    variance = weights[f"{name}/moving_variance"].astype(np.float64)
    scale = weights[f"{name}/gamma"] / np.sqrt(variance + BN_EPSILON)
    return scale, weights[f"{name}/beta"] - scale * weights[f"{name}/moving_mean"]


def norm_name(index: int) -> str:
    """Name in the checkpoint of batch norm number `index`, from 0 in the order of creation."""
    return f"batch_normalization_{index}" if index else "batch_normalization"


def _oihw(kernel: Array) -> Array:
    """TensorFlow's (time, frequency, in, out) as ONNX's (out, in, time, frequency)."""
    return kernel.transpose(3, 2, 0, 1)
