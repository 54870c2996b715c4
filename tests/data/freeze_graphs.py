"""Freeze the MusiCNN and VGG checkpoints into TensorFlow graphs that Essentia can load.

Essentia's wrappers take a frozen `.pb` with the nodes `model/Placeholder` (segments, 187, 96),
`model/Sigmoid` (segments, 50) and, for MusiCNN, `model/dense/BiasAdd` (segments, 200). The
`musicnn` 0.1.0 wheel (ISC) holds TensorFlow 1 checkpoints and Keras 2 layers that current
TensorFlow no longer has, so the networks are written out here in plain operations, for inference
only; they give what the training graphs that the wheel carries (`.meta`) give for these weights, to
3e-6 in the activations.

This is the first of two steps, a separate process because Essentia brings its own TensorFlow:

    pip download --no-deps musicnn==0.1.0
    python tests/data/freeze_graphs.py musicnn-0.1.0-py3-none-any.whl GRAPHS    # needs
    tensorflow-cpu 2.21.0 python tests/data/make_reference.py GRAPHS
    # the second step
"""

import hashlib
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

WHEEL_SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
SEGMENT_SHAPE = (187, 96)  # frames, mel bands
EPSILON = 1e-3  # of every batch normalisation

# Essentia 2.1b6.dev1389 carries TensorFlow 2.5, which refuses attributes it does not know. These
# came later and have no effect on inference.
LATER_ATTRIBUTES = ("grad_a", "grad_b")

v1 = tf.compat.v1

Side = int | tuple[int, int]
"""Size or stride of a pooling, the same for both axes or one for each."""


class Weights:
    """Variables of one checkpoint as constants, in the order in which TF 1 named its layers."""

    def __init__(self, prefix: str) -> None:
        self.reader = v1.train.NewCheckpointReader(prefix)
        self.counts: dict[str, int] = {}

    def next(self, kind: str) -> str:
        """`conv2d`, then `conv2d_1`, `conv2d_2` and so on."""
        count = self.counts.get(kind, 0)
        self.counts[kind] = count + 1
        return kind if count == 0 else f"{kind}_{count}"

    def get(self, name: str) -> np.ndarray:
        return np.asarray(self.reader.get_tensor(name))


def normalise(x: tf.Tensor, weights: Weights) -> tf.Tensor:
    """Batch normalisation over the last axis, with the moving statistics."""
    name = weights.next("batch_normalization")
    gamma, beta, mean, variance = (
        weights.get(f"{name}/{part}")
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    return x * scale + (beta - mean * scale)


def convolve(x: tf.Tensor, weights: Weights, padding: str, name: str | None = None) -> tf.Tensor:
    name = name or weights.next("conv2d")
    y = tf.nn.conv2d(x, weights.get(f"{name}/kernel"), strides=1, padding=padding)
    return tf.nn.relu(tf.nn.bias_add(y, weights.get(f"{name}/bias")))


def dense(x: tf.Tensor, weights: Weights) -> tf.Tensor:
    name = weights.next("dense")
    with v1.name_scope(name):
        y = tf.matmul(x, weights.get(f"{name}/kernel"))
        return tf.nn.bias_add(y, weights.get(f"{name}/bias"), name="BiasAdd")


def pad_time(x: tf.Tensor) -> tf.Tensor:
    return tf.pad(x, [[0, 0], [3, 3], [0, 0], [0, 0]])


def musicnn(mel: tf.Tensor, weights: Weights) -> tf.Tensor:
    """The logits (segments, 50) of MusiCNN for mel (segments, 187, 96)."""
    x = normalise(mel[..., None], weights)
    blocks = []
    for padded, padding in [(pad_time(x), "VALID")] * 2 + [(x, "SAME")] * 3:
        block = normalise(convolve(padded, weights, padding), weights)
        blocks.append(tf.reduce_max(block, axis=2))
    front = tf.concat(blocks, 2)[..., None]  # (segments, frames, 561, 1)

    def mid(y: tf.Tensor) -> tf.Tensor:
        y = normalise(convolve(pad_time(y), weights, "VALID"), weights)
        return tf.transpose(y, [0, 1, 3, 2])  # (segments, frames, 64, 1)

    first = mid(front)
    second = mid(first) + first
    third = mid(second) + second
    features = tf.concat([front, first, second, third], 2)  # (segments, frames, 753, 1)

    pooled = tf.concat([tf.reduce_max(features, 1), tf.reduce_mean(features, 1)], 2)
    flat = normalise(tf.reshape(pooled, [-1, 2 * 753]), weights)  # maximum and mean interleaved
    return dense(normalise(tf.nn.relu(dense(flat, weights)), weights), weights)


def vgg(mel: tf.Tensor, weights: Weights, pools: Sequence[tuple[Side, Side]]) -> tf.Tensor:
    """The logits (segments, 50) of the VGG for mel (segments, 187, 96)."""
    x = normalise(mel[..., None], weights)
    for layer, (size, stride) in enumerate(pools, start=1):
        x = normalise(convolve(x, weights, "SAME", f"{layer}CNN"), weights)
        x = tf.nn.max_pool2d(x, size, stride, "VALID")
    return dense(tf.reshape(x, [-1, 256]), weights)


Network = Callable[[tf.Tensor, Weights], tf.Tensor]

# Size and stride of the five poolings. MSD_vgg was trained with other ones than the wheel's
# models.py builds: these are read from the training graphs that the wheel carries as `.meta`.
MTT_POOLS: list[tuple[Side, Side]] = [((4, 1), 2), (2, 2), (2, 2), (2, 2), (4, 4)]
MSD_POOLS: list[tuple[Side, Side]] = [((4, 1), (4, 1)), ((1, 4), (1, 4)), (2, 2), (2, 2), (4, 4)]

GRAPHS: dict[str, tuple[str, Network]] = {  # name: folder in the wheel, network
    "musicnn-mtt": ("MTT_musicnn", musicnn),
    "musicnn-msd": ("MSD_musicnn", musicnn),
    "vgg-mtt": ("MTT_vgg", partial(vgg, pools=MTT_POOLS)),
    "vgg-msd": ("MSD_vgg", partial(vgg, pools=MSD_POOLS)),
}


def freeze(prefix: str, network: Network) -> tf.compat.v1.GraphDef:
    weights = Weights(prefix)
    with tf.Graph().as_default() as graph, v1.name_scope("model"):
        mel = v1.placeholder(tf.float32, (None, *SEGMENT_SHAPE), name="Placeholder")
        tf.nn.sigmoid(network(mel, weights), name="Sigmoid")
    definition = graph.as_graph_def()
    for node in definition.node:
        for attribute in LATER_ATTRIBUTES:
            node.attr.pop(attribute, None)
    return definition


def main(wheel: Path, out: Path) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise SystemExit(f"{wheel}: sha256 is {digest}, expected {WHEEL_SHA256}")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(wheel).extractall(folder)
        for name, (checkpoint, network) in GRAPHS.items():
            # The prefix of these checkpoints is a folder and an empty base name.
            definition = freeze(f"{folder}/musicnn/{checkpoint}/", network)
            (out / f"{name}.pb").write_bytes(definition.SerializeToString(deterministic=True))
            print(out / f"{name}.pb", len(definition.node), "nodes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python tests/data/freeze_graphs.py WHEEL OUTPUT_FOLDER")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
