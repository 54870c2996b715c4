"""ONNX Runtime sessions, one per model, shared by all streams that run it.

A session's `run` may be called from several threads concurrently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from auricle.errors import ModelError, ProviderError, one_line
from auricle.models.cache import programs_folder
from auricle.models.card import Card, model_path
from auricle.models.files import sha256
from auricle.models.inference.providers import TENSORRT, usable
from auricle.models.inference.shared import made_once_per_model
from auricle.models.patchout import KEEP_F, KEEP_T
from auricle.models.registry import check

LARGEST_INPUT: Final = 1 << 28
"""Most values of an input of a model: a gigabyte of float32."""

DTYPES: Final = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
}
"""NumPy types of inputs, by ONNX Runtime's names."""


def open_session(folder: Path, providers: tuple[str, ...], threads: int) -> Any:
    """The session of a model, shared by all callers with the same arguments; it has run once.

    A model that has been replaced in its folder since then gets a new session.

    Args:
        folder: Folder of the model.
        providers: Names in order of preference, as `auricle.models.inference.providers.usable`
            takes them.
        threads: Threads that share the work of one run.

    Returns:
        An `onnxruntime.InferenceSession`; its `run` may be called from several threads.

    Raises:
        ConfigError: None of the providers can run the model here, or one is unknown.
        ModelError: The model is not what its card says.
        ProviderError: The model cannot be loaded.
    """
    return _open_whole(folder, usable(folder, providers), threads)


@made_once_per_model
def _open_whole(folder: Path, providers: tuple[str, ...], threads: int) -> Any:
    card = check(folder)
    path = model_path(folder, card)
    what = f"{card.name}: {path}"
    session = make_session(path, what, providers, threads)
    _check_patches_are_described(session, card, path)
    return run_once(session, what)


def open_batch_session(folder: Path, providers: tuple[str, ...], threads: int) -> Any:
    """A session of the whole model for the owner that runs all batches; it has not run yet.

    Arguments and errors are those of `open_session`, but `providers` are full names, as
    `auricle.models.inference.providers.usable` returns them.
    """
    card = check(folder)
    path = model_path(folder, card)
    options = with_options(providers, folder, card)
    session = make_session(path, f"{card.name}: {path}", options, threads)
    _check_patches_are_described(session, card, path)
    return session


def with_options(providers: Sequence[str], folder: Path, card: Card) -> list[Any]:
    """Providers as ONNX Runtime takes them, TensorRT with a folder for its compiled programs.

    Args:
        providers: Full names.
        folder: Folder of the model.
        card: Card of the model.

    Raises:
        ProviderError: The folder for programs cannot be created.
    """
    return [
        (name, _tensorrt_options(folder, card)) if name == TENSORRT else name for name in providers
    ]


def _tensorrt_options(model: Path, card: Card) -> dict[str, str]:
    # A folder per model file: ONNX Runtime distinguishes compiled programs by the kind of GPU and
    # by versions, but not by weights.
    digest = card.sha256 or sha256(model_path(model, card))
    folder = programs_folder() / f"onnxruntime-{digest[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProviderError(f"{card.name}: compiled programs cannot be kept: {error}") from error
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": str(card.precision == "fp16"),
    }


def _check_patches_are_described(session: Any, card: Card, path: Path) -> None:
    """Refuse a model that takes the patches to keep but whose card does not describe them."""
    if card.patch_grid is None and {KEEP_T, KEEP_F} & {each.name for each in session.get_inputs()}:
        raise ModelError(
            f"{card.name}: its card has no patch_grid, and {path} takes {KEEP_T} and {KEEP_F}"
        )


def load_session(
    model: Path | bytes, what: str, providers: tuple[str, ...], threads: int, **sizes: int
) -> Any:
    """A session that has run once.

    Args:
        model: Path of an ONNX file, or its content in bytes.
        what: Model and file, for the error message.
        providers: Full names.
        threads: Threads that share the work of one run.
        sizes: Sizes of axes that the model leaves open, by name; 1 for the others.

    Raises:
        ProviderError: The model cannot be loaded or run.
    """
    return run_once(make_session(model, what, providers, threads), what, **sizes)


def run_once(session: Any, what: str, **sizes: int) -> Any:
    """Run a session on zeros of its inputs' shapes, and return it.

    Arguments and errors are those of `load_session`.
    """
    try:
        # The first run allocates; better now than when audio is waiting.
        inputs = {}
        for each in session.get_inputs():
            shape = [_concrete(size, sizes) for size in each.shape]
            inputs[each.name] = np.zeros(shape, DTYPES[each.type])
        session.run(None, inputs)
        return session
    except Exception as error:  # ONNX Runtime's own classes have no common base but this
        raise ProviderError(f"{what} cannot be loaded: {one_line(error)}") from error


def _check_inputs(session: Any, what: str) -> None:
    """Refuse inputs and outputs whose names cannot be read, and inputs that no memory could hold.

    Raises:
        ProviderError: There is one.
    """
    try:
        inputs = {each.name: each.shape for each in session.get_inputs()}
        _ = [each.name for each in session.get_outputs()]
    except UnicodeDecodeError as error:
        raise ProviderError(f"{what} cannot be loaded: {one_line(error)}") from error
    for name, shape in inputs.items():
        size = math.prod(each for each in shape if isinstance(each, int))
        if size > LARGEST_INPUT:
            raise ProviderError(
                f"{what}: input {name!r} has {size} values; at most {LARGEST_INPUT} are allowed"
            )


def _concrete(size: int | str, sizes: Mapping[str, int]) -> int:
    return size if isinstance(size, int) else sizes.get(size, 1)


def make_session(model: Path | bytes, what: str, providers: Sequence[Any], threads: int) -> Any:
    """A session that has not run yet. Arguments and errors are those of `load_session`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin between runs take a core from decoding and from other streams.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        source = model if isinstance(model, bytes) else str(model)
        # Without its own fallback, which reports on standard output.
        session = onnxruntime.InferenceSession(
            source, options, providers=list(providers), enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime's own classes have no common base but this
        raise ProviderError(f"{what} cannot be loaded: {one_line(error)}") from error
    _check_inputs(session, what)
    first = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if first not in session.get_providers():
        # ONNX Runtime drops some that fail, and runs the model on those after them.
        raise ProviderError(f"{what} cannot be loaded: no {first} in its session")
    return session
