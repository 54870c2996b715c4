"""Providers: which of them can run a model here, tried out, in order of preference.

Most are ONNX Runtime's execution providers. `torch-tensorrt` is not: it runs the torch program
beside the ONNX file of a model exported with one; see `auricle.models.inference.program`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from auricle.errors import ConfigError, one_line
from auricle.models.card import Card, load_card, model_path
from auricle.models.inference.shared import made_once_per_model

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"
TORCH_TENSORRT: Final = "torch-tensorrt"

SHORT_NAMES: Final = {
    "cpu": CPU,
    "cuda": CUDA,
    "tensorrt": TENSORRT,
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}

ACCELERATORS: Final = (TORCH_TENSORRT, TENSORRT, CUDA)
"""Providers that one thread runs for all streams, in batches."""

log = logging.getLogger(__name__)


def full_name(provider: str) -> str:
    """The full name of a provider, which may be given by its short one."""
    return SHORT_NAMES.get(provider.lower(), provider)


def usable(folder: Path, providers: tuple[str, ...]) -> tuple[str, ...]:
    """The providers that run a model here, by their full names: the first of `usable_choices`."""
    return usable_choices(folder, providers)[0]


@made_once_per_model
def usable_choices(folder: Path, providers: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Providers that can run a model here: those to use together, then those left if one fails.

    Providers that cannot run it are passed over, with one log line for all of them, if another one
    can. `TORCH_TENSORRT` runs alone; ONNX Runtime's run parts of a model for one another.

    Args:
        folder: Folder of the model.
        providers: Names in order of preference: ONNX Runtime's, `SHORT_NAMES` or `TORCH_TENSORRT`.

    Returns:
        Choices in order of preference, each a tuple of full names.

    Raises:
        ConfigError: None of them can run the model, or one is unknown.
        ModelError: The folder has no model.
    """
    import onnxruntime

    card = load_card(folder)
    words = {full_name(word): word for word in providers}
    known = (*onnxruntime.get_all_providers(), TORCH_TENSORRT)
    unknown = [name for name in words if name not in known]
    reasons = {name: unusable_reason(name, card) for name in words if name not in unknown}
    found = tuple(name for name, reason in reasons.items() if reason is None)
    if unknown or not found:
        name = (unknown or list(words))[0]
        why = f": {reason}" if (reason := reasons.get(name)) else ""
        available = ", ".join(onnxruntime.get_available_providers())
        raise ConfigError(f"providers: no {words[name]!r} here{why}; there are: {available}")
    _warn_of_unusable(f"{card.name}: {model_path(folder, card)}", reasons, found[0])
    return tuple(_run_together(found[first:]) for first in range(len(found)))


def _warn_of_unusable(where: str, reasons: Mapping[str, str | None], used: str) -> None:
    missing = []
    for name, reason in reasons.items():
        if reason is not None:
            missing.append(f"{name} ({reason})" if reason else name)
    if missing:
        log.warning("%s: no %s here; it runs on %s", where, " and no ".join(missing), used)


def _run_together(found: tuple[str, ...]) -> tuple[str, ...]:
    if found[0] == TORCH_TENSORRT:
        return found[:1]
    return tuple(name for name in found if name != TORCH_TENSORRT)


def unusable_reason(provider: str, card: Card | None = None) -> str | None:
    """Why a provider cannot be used here.

    Args:
        provider: Full name.
        card: Card of the model to run; None for any model.

    Returns:
        The reason, empty if there is nothing to add to the name; None if it can be used.
    """
    if provider == TORCH_TENSORRT:
        from auricle.models.inference import program

        return program.no_compiler_reason() if card is None else program.unusable_reason(card)
    return _tried(provider)


@functools.cache
def _tried(provider: str) -> str | None:
    """Why one of ONNX Runtime's providers cannot be used; None if it can.

    It has to be tried: a GPU build also lists providers whose libraries or GPU are missing.
    """
    import onnxruntime

    if provider not in onnxruntime.get_available_providers():
        return ""
    if provider not in ACCELERATORS:
        return None
    _load_libraries(provider)
    # It would report at length what our one line says.
    onnxruntime.set_default_logger_severity(4)
    model = _identity_model()
    try:
        session = onnxruntime.InferenceSession(model, providers=[provider], enable_fallback=0)
    except Exception as error:  # ONNX Runtime's own classes have no common base but this
        return one_line(error)
    return None if provider in session.get_providers() else "its libraries or a GPU are missing"


def _load_libraries(provider: str) -> None:
    """Load the libraries of CUDA and TensorRT that pip has installed beside ONNX Runtime."""
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(None):
            onnxruntime.preload_dlls()
    if provider == TENSORRT:
        with contextlib.suppress(ImportError, OSError):
            importlib.import_module("tensorrt")


def _identity_model() -> bytes:
    """A serialized model whose output is its input."""
    from onnx import TensorProto, helper

    one, other = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "ab")
    node = helper.make_node("Identity", ["a"], ["b"])
    graph = helper.make_graph([node], "identity", [one], [other])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
