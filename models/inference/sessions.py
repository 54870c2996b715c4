"""ONNX Runtime sessions, one a model however many streams run it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auricle.errors import ModelError, ProviderError, one_line
from auricle.models.card import model_path
from auricle.models.inference.grid_check import check_there, difference
from auricle.models.inference.patch_split import split_patches
from auricle.models.inference.providers import usable, with_options
from auricle.models.inference.shared import once_a_model
from auricle.models.inference.split import Split, split
from auricle.models.registry import check

DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}
"""Of inputs, as ONNX Runtime calls them."""


def open_session(folder: Path, providers: tuple[str, ...], threads: int) -> Any:
    """The session of a model, shared by all who ask for the same; it has run once.

    A model that has been replaced in its folder since then gets a new one.

    Args:
        folder: The model's folder.
        providers: In order of preference, as `auricle.models.inference.providers.usable` takes
            them.
        threads: Threads that share the work of one run.

    Returns:
        An `onnxruntime.InferenceSession`; its `run` may be called from several threads.

    Raises:
        ConfigError: No provider of these can run it here, or one is unknown.
        ModelError: The model is not what its card says.
        ProviderError: It cannot be loaded.
    """
    return _open(folder, usable(folder, providers), threads)


@dataclass(frozen=True, slots=True)
class SplitSession:
    """A model in two parts; see `auricle.models.inference.split`.

    Attributes:
        front: Session from frames to feature columns.
        back: Session from a segment and its columns to the model's outputs.
        input: Name of the model's own input.
        history: Frames that the front takes beside the new ones.
        width: Feature columns of a segment.
        channels: Values of a column.
    """

    front: Any
    back: Any
    input: str
    history: int
    width: int
    channels: int


def open_split_session(
    folder: Path, hop_size: int, providers: tuple[str, ...], threads: int
) -> SplitSession | None:
    """The session of a model in two parts, shared by all who ask for the same; both have run once.

    Args:
        hop_size: Frames from one segment to the next.

    Other arguments and errors are those of `open_session`.

    Returns:
        None for a model that has nothing to share between segments so far apart.
    """
    return _open_split(folder, hop_size, usable(folder, providers), threads)


@dataclass(frozen=True, slots=True)
class PatchSession:
    """A model in two parts; see `auricle.models.inference.patch_split`.

    Attributes:
        front: Session from frames to projected patches.
        back: Session from these to the model's outputs.
        input: Name of the model's own input.
        what: Model and file, for messages.
    """

    front: Any
    back: Any
    input: str
    what: str


def open_patch_session(folder: Path, providers: tuple[str, ...], threads: int) -> PatchSession:
    """The session of a model whose patches can be left out, shared by all who ask for the same.

    Its patches are as the card's `patch_grid` says. Arguments and errors are those of
    `open_session`.
    """
    return _open_patches(folder, usable(folder, providers), threads)


def open_batch_session(folder: Path, providers: tuple[str, ...], threads: int) -> Any:
    """A session of the whole model for whoever runs all batches; it has not run yet.

    Arguments and errors are those of `open_session`; `providers` are as
    `auricle.models.inference.providers.usable` gives them.
    """
    card = check(folder)
    path = model_path(folder, card)
    session = _session(path, f"{card.name}: {path}", with_options(providers, folder, card), threads)
    check_there(session, card, path)
    return session


@once_a_model
def _open(folder: Path, providers: tuple[str, ...], threads: int) -> Any:
    card = check(folder)
    path = model_path(folder, card)
    session = _session(path, what := f"{card.name}: {path}", providers, threads)
    check_there(session, card, path)
    return _run_once(session, what)


@once_a_model
def _open_split(
    folder: Path, hop_size: int, providers: tuple[str, ...], threads: int
) -> SplitSession | None:
    card = check(folder)
    path = model_path(folder, card)
    try:
        parts = split(path, hop_size)
    except ModelError as error:
        raise ModelError(f"{card.name}: {error}") from error
    return (
        None
        if parts is None
        else _open_parts(parts, f"{card.name}: {path}, split", providers, threads)
    )


@once_a_model
def _open_patches(folder: Path, providers: tuple[str, ...], threads: int) -> PatchSession:
    card = check(folder)
    assert card.patch_grid is not None
    path = model_path(folder, card)
    try:
        parts = split_patches(path)
    except ModelError as error:
        raise ModelError(f"{card.name}: {error}") from error
    grid, what = card.patch_grid, f"{card.name}: {path}, split"
    frames = (grid.columns - 1) * grid.stride + grid.size
    front = _load(parts.front, what, providers, threads, frames=frames)
    session = PatchSession(front, _load(parts.back, what, providers, threads), parts.input, what)
    dtype = next(DTYPES[each.type] for each in front.get_inputs() if each.name == parts.input)
    if wrong := difference(session, grid, dtype, strict=providers[0] == "CPUExecutionProvider"):
        raise ModelError(f"{card.name}: patch_grid is not that of {path}: {wrong}")
    return session


@functools.lru_cache(maxsize=4)
def _open_parts(parts: Split, what: str, providers: tuple[str, ...], threads: int) -> SplitSession:
    # By the parts, which are the same for most hops; those of replaced models go in the end.
    front = _load(parts.front, what, providers, threads, frames=parts.history + 1)
    back = _load(parts.back, what, providers, threads)
    return SplitSession(
        front, back, back.get_inputs()[0].name, parts.history, parts.width, parts.channels
    )


def _load(
    model: Path | bytes, what: str, providers: tuple[str, ...], threads: int, **sizes: int
) -> Any:
    """A session that has run once, with `sizes` for the sizes that the model leaves open, else one."""
    return _run_once(_session(model, what, providers, threads), what, **sizes)


def _run_once(session: Any, what: str, **sizes: int) -> Any:
    try:
        # The first run allocates; better now than when sound is waiting.
        inputs = {
            each.name: np.zeros([_size(size, sizes) for size in each.shape], DTYPES[each.type])
            for each in session.get_inputs()
        }
        session.run(None, inputs)
        return session
    except Exception as error:  # ONNX Runtime's own classes have no common base but this
        raise ProviderError(f"{what} cannot be loaded: {one_line(error)}") from error


def _session(model: Path | bytes, what: str, providers: Sequence[Any], threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin between runs take a core from decoding and from other streams.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        source = model if isinstance(model, bytes) else str(model)
        # Without its own fallback, which says what it does on standard output.
        session = onnxruntime.InferenceSession(
            source, options, providers=list(providers), enable_fallback=0
        )
    except Exception as error:  # likewise
        raise ProviderError(f"{what} cannot be loaded: {one_line(error)}") from error
    first = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if first not in session.get_providers():
        # ONNX Runtime leaves out some that fail, and runs the model on those behind them.
        raise ProviderError(f"{what} cannot be loaded: no {first} in its session")
    return session


def _size(size: int | str, sizes: Mapping[str, int]) -> int:
    return size if isinstance(size, int) else sizes.get(size, 1)
