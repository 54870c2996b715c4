"""MusiCNN and VGG written down plainly in float64 numpy, and random weights of the right shapes.

The forward passes follow the published TensorFlow definition step by step (convolution, ReLU, batch
norm, pooling; time first, channels last; flattening as TensorFlow does it) and share nothing with
the ONNX graphs under test.
"""

import numpy as np

MUSICNN_CONVS = {
    "conv2d": (7, 38, 1, 204),
    "conv2d_1": (7, 67, 1, 204),
    "conv2d_2": (128, 1, 1, 51),
    "conv2d_3": (64, 1, 1, 51),
    "conv2d_4": (32, 1, 1, 51),
    "conv2d_5": (7, 561, 1, 64),
    "conv2d_6": (7, 64, 1, 64),
    "conv2d_7": (7, 64, 1, 64),
}
MUSICNN_NORMS = (1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200)
VGG_CONVS = {"1CNN": (3, 3, 1, 128)} | {f"{i}CNN": (3, 3, 128, 128) for i in range(2, 6)}
VGG_NORMS = (1, 128, 128, 128, 128, 128)


def random_weights(network: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights that keep the signal's size from layer to layer; norms have scales of both signs."""
    rng = np.random.default_rng(seed)
    kernels: dict[str, tuple[int, ...]]
    norms: tuple[int, ...]
    if network == "musicnn":
        kernels = {**MUSICNN_CONVS, "dense": (1506, 200), "dense_1": (200, 50)}
        norms = MUSICNN_NORMS
    else:
        kernels = {**VGG_CONVS, "dense": (256, 50)}
        norms = VGG_NORMS
    weights = {}
    for name, shape in kernels.items():
        fan_in = np.prod(shape[:-1])
        weights[f"{name}/kernel"] = rng.normal(0, (2 / fan_in) ** 0.5, shape)
        weights[f"{name}/bias"] = rng.normal(0, 0.1, shape[-1])
    for i, size in enumerate(norms):
        name = norm_name(i)
        weights[f"{name}/gamma"] = rng.uniform(0.5, 1.5, size) * rng.choice([-1, 1], size)
        weights[f"{name}/beta"] = rng.normal(0, 0.3, size)
        weights[f"{name}/moving_mean"] = rng.normal(0, 0.3, size)
        weights[f"{name}/moving_variance"] = rng.uniform(0.5, 2, size)
    return {name: value.astype(np.float32) for name, value in weights.items()}


def musicnn(weights: dict[str, np.ndarray], mel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(activations, embeddings) of mel (batch, 187, 96)."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    x = norm(w, 0, mel.astype(np.float64)[..., None])
    maps = []
    for i, name in enumerate(["conv2d", "conv2d_1"], start=1):
        padded = np.pad(x, ((0, 0), (3, 3), (0, 0), (0, 0)))
        maps.append(norm(w, i, relu(conv(w, name, padded))).max(axis=2))
    for i, name in enumerate(["conv2d_2", "conv2d_3", "conv2d_4"], start=3):
        size = w[f"{name}/kernel"].shape[0]
        # "same" for an even kernel: one zero more at the end than at the start.
        padded = np.pad(x, ((0, 0), (size // 2 - 1, size // 2), (0, 0), (0, 0)))
        maps.append(norm(w, i, relu(conv(w, name, padded))).max(axis=2))
    front = np.concatenate(maps, axis=2)  # (batch, 187, 561)
    mid1 = mid_end(w, "conv2d_5", 6, front)
    mid2 = mid_end(w, "conv2d_6", 7, mid1) + mid1
    mid3 = mid_end(w, "conv2d_7", 8, mid2) + mid2
    features = np.concatenate([front, mid1, mid2, mid3], axis=2)  # (batch, 187, 753)
    pooled = np.stack([features.max(axis=1), features.mean(axis=1)], axis=2)  # (batch, 753, 2)
    x = norm(w, 9, pooled.reshape(len(mel), -1))
    embeddings = x @ w["dense/kernel"] + w["dense/bias"]
    x = norm(w, 10, relu(embeddings))
    return sigmoid(x @ w["dense_1/kernel"] + w["dense_1/bias"]), embeddings


Pool = tuple[tuple[int, int], tuple[int, int]]
"""Size and stride."""

VGG_MTT: list[Pool] = [((4, 1), (2, 2)), ((2, 2), (2, 2))]
VGG_MSD: list[Pool] = [((4, 1), (4, 1)), ((1, 4), (1, 4))]
"""Sizes and strides of the first two pools, as the graphs beside the checkpoints have them."""


def vgg(
    weights: dict[str, np.ndarray], mel: np.ndarray, first_pools: list[Pool] = VGG_MTT
) -> tuple[np.ndarray, np.ndarray]:
    """(activations, embeddings) of mel (batch, 187, 96)."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    x = norm(w, 0, mel.astype(np.float64)[..., None])
    pools = [*first_pools, ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4))]
    for i, (size, stride) in enumerate(pools, start=1):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = norm(w, i, relu(conv(w, f"{i}CNN", padded)))
        windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
        x = windows[:, :: stride[0], :: stride[1]].max(axis=(-2, -1))
    embeddings = x.reshape(len(mel), -1)
    return sigmoid(embeddings @ w["dense/kernel"] + w["dense/bias"]), embeddings


def conv(w: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    """Valid convolution of x (batch, time, frequency, channels)."""
    kernel = w[f"{name}/kernel"]  # (time, frequency, in, out)
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    found = np.einsum("btfcij,ijco->btfo", windows, kernel, optimize=True)
    return np.asarray(found + w[f"{name}/bias"])


def mid_end(w: dict[str, np.ndarray], name: str, index: int, x: np.ndarray) -> np.ndarray:
    """A kernel over 7 frames and the whole width of x (batch, time, width)."""
    padded = np.pad(x, ((0, 0), (3, 3), (0, 0)))[..., None]
    return norm(w, index, relu(conv(w, name, padded)))[:, :, 0]


def norm(w: dict[str, np.ndarray], index: int, x: np.ndarray) -> np.ndarray:
    gamma, beta, mean, variance = (
        w[f"{norm_name(index)}/{part}"]
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return np.asarray((x - mean) / np.sqrt(variance + 1e-3) * gamma + beta)


def norm_name(index: int) -> str:
    return "batch_normalization" + (f"_{index}" if index else "")


def relu(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(x, 0))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))
