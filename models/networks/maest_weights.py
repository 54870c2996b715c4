"""Weights for MAEST: published networks, and weights of its relatives to start training from.

Networks are read from the authors' torch checkpoints, bare or inside a Lightning module, and from
the files of the Hugging Face models `mtg-upf/discogs-maest-*`. The latter differ in three ways.
They have no head of the distillation token, which becomes zero. They have one position encoding for
each patch, the sum of a row's and a column's, which is split again. And there the norm before the
classifier has an epsilon of 1e-6; here it is 1e-5, as in the network that was trained, so logits
differ slightly.

Training starts from a distilled DeiT (ImageNet), a PaSST (AudioSet) or another MAEST, as in section
6.2 of P. Alonso-Jiménez' thesis (2024).

No file is unpickled: torch reads tensors and plain containers, and refuses everything else.
"""

import math
import pickle
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from auricle.errors import ModelError
from auricle.models.networks.maest import CONFIGS, PATCH_SIZE, STRIDE, Maest, MaestConfig

Weights = dict[str, Tensor]

_HEAD_WIDTH: Final = 64
"""Values of a token for each head of the attention, in every published network."""

_FREQ_GRID: Final = CONFIGS["30s"].freq_grid

_HF: Final = "audio_spectrogram_transformer"
_HF_POSITIONS: Final = f"{_HF}.embeddings.position_embeddings"
_HF_TOKENS: Final = {
    "cls_token": f"{_HF}.embeddings.cls_token",
    "dist_token": f"{_HF}.embeddings.distillation_token",
}
_HF_LAYERS: Final = {
    "patch_embed.proj": f"{_HF}.embeddings.patch_embeddings.projection",
    "norm": f"{_HF}.layernorm",
    "head.0": "classifier.layernorm",
    "head.1": "classifier.dense",
}
_HF_BLOCK: Final = {
    "norm1": ("layernorm_before",),
    "attn.qkv": tuple(f"attention.attention.{name}" for name in ("query", "key", "value")),
    "attn.proj": ("attention.output.dense",),
    "norm2": ("layernorm_after",),
    "mlp.fc1": ("intermediate.dense",),
    "mlp.fc2": ("output.dense",),
}


def load_maest(path: str | Path, *, n_heads: int | None = None) -> Maest:
    """Read a network; its sizes are those of its arrays.

    If a Lightning checkpoint has both, the averaged weights (`net_swa`) are taken, not the last
    ones.

    Args:
        path: A torch checkpoint or a safetensors file.
        n_heads: Number of heads of each attention, which the arrays do not determine; None for
            heads of 64 values, as published.

    Returns:
        The network in float32, in evaluation mode.

    Raises:
        ModelError: The file cannot be read, or its arrays are not exactly those of a MAEST; the
            message names the file and the first wrong key.
    """
    file = Path(path)
    weights = _translate(_load(file), file)
    config = _infer_config(weights, file, n_heads)
    with torch.device("meta"):  # sizes only: drawing random weights would take seconds
        model = Maest(config)
    _check(weights, model.state_dict(), file)
    model.load_state_dict(weights, assign=True)
    model.eval()
    return model


def initialise(model: Maest, path: str | Path) -> None:
    """Start from the weights of another network, except for the heads.

    Position encodings are interpolated to the model's grid. Those of a DeiT, one for each patch of
    an image, are averaged over the columns for the rows and over the rows for the columns; the
    weights of its three colours are summed.

    Args:
        model: Network to change in place; it is not changed if an error is raised. Its heads keep
            their weights.
        path: File of a distilled DeiT (`deit_*_distilled_*`), a PaSST with a stride of 10, or a
            MAEST.

    Raises:
        ModelError: The file cannot be read, or its arrays do not fit the model.
    """
    file = Path(path)
    weights = _translate(_load(file), file)
    weights = {name: value for name, value in weights.items() if not name.startswith("head")}
    if "pos_embed" in weights:
        weights |= _from_image(weights, model.config, file)
        del weights["pos_embed"]
    else:
        for name, size, across, what in (
            ("freq_new_pos_embed", (model.config.freq_grid, 1), 3, "column"),
            ("time_new_pos_embed", (1, model.config.time_grid), 2, "row"),
        ):
            grid = _get(weights, name, 4, file)
            if grid.shape[across] != 1 or not grid.numel():
                raise ModelError(
                    f"{file}: '{name}' of shape {tuple(grid.shape)} is not one {what} of encodings"
                )
            weights[name] = _interpolate(grid, size)
    body = {
        name: value for name, value in model.state_dict().items() if not name.startswith("head")
    }
    _check(weights, body, file)
    model.load_state_dict(weights, strict=False)


def _load(file: Path) -> Weights:
    """The arrays of a file, under the network's names or Hugging Face's."""
    try:
        if file.suffix == ".safetensors":
            content: Any = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        what = "it holds more than plain weights, or is not a checkpoint"
        reason = f"{what}; save its state_dict alone"
        raise ModelError(f"{file}: not loaded: {reason}") from error
    except SafetensorError as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ModelError(f"{file}: not a safetensors file that can be read: {reason}") from error
    except Exception as error:  # torch raises anything for a file that is not a pickle
        raise ModelError(
            f"{file}: not weights that can be read; the file is damaged, or of another kind"
        ) from error
    return _arrays(content, file)


def _arrays(content: Any, file: Path) -> Weights:
    """The arrays of the network alone, as float32."""
    for key in ("state_dict", "model"):  # Lightning's and DeiT's checkpoints
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ModelError(f"{file}: holds no named arrays")
    weights = {}
    for name, value in _inside_module(content).items():
        if not name.startswith("melspectrogram."):  # the front end in newer checkpoints
            weights[name] = _as_float32(name, value, file)
    if not weights:
        raise ModelError(f"{file}: holds no arrays")
    return weights


def _inside_module(content: dict[str, Any]) -> dict[str, Any]:
    """The averaged network in a Lightning module, or else the network; any other as it is."""
    for prefix in ("net_swa.", "net."):
        inside = {
            name[len(prefix) :]: value for name, value in content.items() if name.startswith(prefix)
        }
        if inside:
            return inside
    return content


def _as_float32(name: str, value: Any, file: Path) -> Tensor:
    if not isinstance(value, Tensor):
        raise ModelError(f"{file}: '{name}' is of type {type(value).__name__}, not an array")
    if value.layout != torch.strided or not value.is_floating_point():
        kind = f"{value.layout} of {value.dtype}".replace("torch.", "")
        raise ModelError(
            f"{file}: '{name}' is {kind}; a MAEST's are strided of a floating point type"
        )
    # Always a copy: arrays of a safetensors file are not aligned in memory, which affects rounding.
    converted = value.to(torch.float32, copy=True)
    # After the conversion, since doubles may exceed the range of float32.
    if not converted.isfinite().all():
        raise ModelError(f"{file}: '{name}' has values that are not finite in float32")
    return converted


def _translate(weights: Weights, file: Path) -> Weights:
    """Rename arrays with Hugging Face's names to the authors'; others stay as they are."""
    if _HF_POSITIONS not in weights:
        return weights
    names = _hugging_face_names(_depth(weights))
    _check_names(
        weights, {_HF_POSITIONS, *(name for parts in names.values() for name in parts)}, file
    )
    ours = {}
    for name, parts in names.items():
        arrays = [weights[part] for part in parts]
        if len({array.shape for array in arrays}) > 1:
            raise ModelError(f"{file}: {', '.join(parts)} differ in shape")
        ours[name] = torch.cat(arrays)
    ours |= _split_positions(_get(weights, _HF_POSITIONS, 3, file), file)
    ours["head_dist.weight"] = torch.zeros_like(ours["head.1.weight"])
    ours["head_dist.bias"] = torch.zeros_like(ours["head.1.bias"])
    return ours


def _hugging_face_names(depth: int) -> dict[str, tuple[str, ...]]:
    """Hugging Face's names for each of ours: three for query, key and value, our one array."""
    names: dict[str, tuple[str, ...]] = {ours: (theirs,) for ours, theirs in _HF_TOKENS.items()}
    for kind in ("weight", "bias"):
        for ours, theirs in _HF_LAYERS.items():
            names[f"{ours}.{kind}"] = (f"{theirs}.{kind}",)
        for block in range(depth):
            for ours, parts in _HF_BLOCK.items():
                layer = f"{_HF}.encoder.layer.{block}"
                names[f"blocks.{block}.{ours}.{kind}"] = tuple(
                    f"{layer}.{part}.{kind}" for part in parts
                )
    return names


def _split_positions(table: Tensor, file: Path) -> Weights:
    """Split encodings of tokens and patches into those of tokens, rows and columns.

    A constant could be in the rows or in the columns. We put all of it into the columns, so the
    encodings of the rows have a mean of zero.

    Args:
        table: Encodings, shape (1, 2 + rows * columns, width).
        file: File that they are from, for messages.
    """
    if table.shape[1] <= 2 or (table.shape[1] - 2) % _FREQ_GRID:
        raise ModelError(
            f"{file}: '{_HF_POSITIONS}' of shape {tuple(table.shape)} is not for "
            f"{_FREQ_GRID} rows of patches"
        )
    grid = table[:, 2:].unflatten(1, (_FREQ_GRID, -1)).permute(0, 3, 1, 2).double()
    time = grid.mean(2, keepdim=True)
    freq = grid.mean(3, keepdim=True) - grid.mean((2, 3), keepdim=True)
    # Half precision keeps three digits; values that are not such sums are off by far more.
    if (time + freq - grid).abs().max() > 1e-3 * grid.abs().max():
        raise ModelError(
            f"{file}: '{_HF_POSITIONS}' is not a sum of one encoding a row and one a column"
        )
    return {
        "new_pos_embed": table[:, :2].clone(),
        "freq_new_pos_embed": freq.float(),
        "time_new_pos_embed": time.float(),
    }


def _from_image(weights: Weights, config: MaestConfig, file: Path) -> Weights:
    """Arrays of a distilled DeiT that differ in the model: position encodings and projection."""
    table = _get(weights, "pos_embed", 3, file)
    side = math.isqrt(max(table.shape[1] - 2, 0))
    if "dist_token" not in weights or side == 0 or side * side != table.shape[1] - 2:
        raise ModelError(
            f"{file}: 'pos_embed' of shape {tuple(table.shape)} is not that of a square image "
            "with 2 tokens; take a distilled DeiT"
        )
    grid = table[:, 2:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    grid = _interpolate(grid, (config.freq_grid, config.time_grid))
    projection = _get(weights, "patch_embed.proj.weight", 4, file)
    return {
        "new_pos_embed": table[:, :2],
        "freq_new_pos_embed": grid.mean(3, keepdim=True),
        "time_new_pos_embed": grid.mean(2, keepdim=True),
        "patch_embed.proj.weight": projection.sum(1, keepdim=True),
    }


def _interpolate(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate (1, width, rows, columns) to another number of rows and columns."""
    return functional.interpolate(grid, size=size, mode="bicubic", align_corners=False)


def _infer_config(weights: Weights, file: Path, n_heads: int | None) -> MaestConfig:
    if "pos_embed" in weights:
        raise ModelError(
            f"{file}: 'pos_embed' is that of a network for images; use it with initialise()"
        )
    rows = _get(weights, "freq_new_pos_embed", 4, file).shape[2]
    if rows != _FREQ_GRID:
        raise ModelError(
            f"{file}: 'freq_new_pos_embed' is for {rows} rows of patches, MAEST's for {_FREQ_GRID};"
            " use it with initialise()"
        )
    n_columns = _get(weights, "time_new_pos_embed", 4, file).shape[3]
    if n_columns * STRIDE < PATCH_SIZE:
        raise ModelError(
            f"{file}: 'time_new_pos_embed' is for {n_columns} columns of patches; it takes two"
        )
    n_classes = _get(weights, "head.1.weight", 2, file).shape[0]
    width = _get(weights, "patch_embed.proj.weight", 4, file).shape[0]
    if n_heads is None and width % _HEAD_WIDTH:
        raise ModelError(
            f"{file}: width={width} is not a multiple of {_HEAD_WIDTH}, so the number of heads is "
            "unknown; give n_heads, or --heads"
        )
    # Several lengths share a grid; the published one is taken if there is one.
    published = (config.frames for config in CONFIGS.values() if config.time_grid == n_columns)
    try:
        return MaestConfig(
            frames=next(published, n_columns * STRIDE),
            n_classes=n_classes,
            width=width,
            depth=_depth(weights),
            n_heads=width // _HEAD_WIDTH if n_heads is None else n_heads,
        )
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error


def _depth(weights: Weights) -> int:
    """Number of blocks, under our names or Hugging Face's."""
    found = (re.match(rf"(?:blocks|{_HF}\.encoder\.layer)\.(\d+)\.", name) for name in weights)
    return len({match[1] for match in found if match})


def _get(weights: Weights, name: str, ndim: int, file: Path) -> Tensor:
    if name not in weights:
        raise ModelError(
            f"{file}: not a MAEST: '{name}' is missing; it has '{min(weights)}' and others"
        )
    if weights[name].ndim != ndim:
        raise ModelError(
            f"{file}: '{name}' of shape {tuple(weights[name].shape)} must have {ndim} dimensions"
        )
    return weights[name]


def _check(weights: Weights, expected: Weights, file: Path) -> None:
    _check_names(weights, expected, file)
    for name, value in expected.items():
        if weights[name].shape != value.shape:
            found = tuple(weights[name].shape)
            raise ModelError(f"{file}: '{name}' has shape {found}, expected {tuple(value.shape)}")


def _check_names(weights: Weights, expected: Collection[str], file: Path) -> None:
    for what, names in (
        ("is missing", [name for name in expected if name not in weights]),
        ("is not part of a MAEST", [name for name in weights if name not in expected]),
    ):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise ModelError(f"{file}: '{min(names)}' {what}{more}")
