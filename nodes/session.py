"""ONNX Runtime sessions, one a model however many streams run it."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ConfigError
from models.card import model_path
from models.errors import ModelError
from models.registry import check

SHORT_NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}

_lock = threading.Lock()


def open_session(folder: Path, providers: tuple[str, ...], threads: int) -> Any:
    """The session of a model, shared by all who ask for the same; it has run once.

    Args:
        folder: The model's folder.
        providers: ONNX Runtime's execution providers in order of preference, by its names or `SHORT_NAMES`.
        threads: Threads that share the work of one run.

    Returns:
        An `onnxruntime.InferenceSession`; its `run` may be called from several threads.

    Raises:
        ConfigError: A provider that this build of ONNX Runtime does not have.
        ModelError: The model is not what its card says, or cannot be loaded.
    """
    with _lock:
        names = tuple(SHORT_NAMES.get(name.lower(), name) for name in providers)
        return _open(folder, names, threads)


@functools.cache
def _open(folder: Path, providers: tuple[str, ...], threads: int) -> Any:
    import onnxruntime

    known = onnxruntime.get_available_providers()
    for provider in providers:
        if provider not in known:
            raise ConfigError(f"no execution provider {provider!r} here; there are: {', '.join(known)}")
    card = check(folder)
    path = model_path(folder, card)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin between runs take a core from decoding and from other streams.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
        # The first run allocates; better now than when sound is waiting.
        inputs = {
            each.name: np.zeros(_with_batch_of_one(each.shape), np.float32) for each in session.get_inputs()
        }
        session.run(None, inputs)
        return session
    except Exception as error:  # ONNX Runtime's own classes have no common base but this
        raise ModelError(f"{card.name}: {path} cannot be loaded: {str(error).splitlines()[0]}") from error


def _with_batch_of_one(shape: list[int | str]) -> list[int]:
    """A shape with one for each size that the model leaves open."""
    return [size if isinstance(size, int) else 1 for size in shape]
