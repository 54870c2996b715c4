"""What can run a model here: providers by name, tried out, and what is used instead of those that
are not.

Most are ONNX Runtime's execution providers. `torch-tensorrt` is not: it runs the torch program that
lies beside the ONNX file of a model exported with one; see `auricle.models.inference.program`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from auricle.errors import ConfigError, ProviderError, one_line
from auricle.models.card import Card, load_card, model_path
from auricle.models.files import sha256
from auricle.models.inference.shared import once_a_model
from auricle.models.registry import cache_folder

CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"
TORCH_TENSORRT: Final = "torch-tensorrt"

SHORT_NAMES: Final = {
    "cpu": "CPUExecutionProvider",
    "cuda": CUDA,
    "tensorrt": TENSORRT,
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}

ACCELERATORS: Final = (TORCH_TENSORRT, TENSORRT, CUDA)
"""Those that one thread runs for all streams, in batches."""

log = logging.getLogger(__name__)


def full_name(provider: str) -> str:
    """Of a provider that may be given by its short one."""
    return SHORT_NAMES.get(provider.lower(), provider)


def usable(folder: Path, providers: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `providers` that run a model here, by their full names: the first of `in_turn`."""
    return in_turn(folder, providers)[0]


@once_a_model
def in_turn(folder: Path, providers: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """What can run a model here, by full names: those to use together, then what is left if the
    first fails.

    Those that cannot are passed over, with one line for all of them, if another one can.
    `TORCH_TENSORRT` comes alone; ONNX Runtime's help one another.

    Args:
        folder: The model's.
        providers: In order of preference, by ONNX Runtime's names, `SHORT_NAMES` or
            `TORCH_TENSORRT`.

    Raises:
        ConfigError: None of them can, or one is unknown.
        ModelError: There is no model.
    """
    import onnxruntime

    card = load_card(folder)
    words = {full_name(word): word for word in providers}
    names = list(words)
    known = (*onnxruntime.get_all_providers(), TORCH_TENSORRT)
    unknown = [name for name in names if name not in known]
    troubles = {name: trouble(name, card) for name in names if name not in unknown}
    found = tuple(name for name, what in troubles.items() if what is None)
    if unknown or not found:
        name = (unknown or names)[0]
        there = ", ".join(onnxruntime.get_available_providers())
        raise ConfigError(
            f"providers: no {words[name]!r} here{_why(troubles.get(name))}; there are: {there}"
        )
    if missing := [
        f"{name}{_brackets(what)}" for name, what in troubles.items() if what is not None
    ]:
        log.warning(
            "%s: %s: no %s here; it runs on %s",
            card.name,
            model_path(folder, card),
            " and no ".join(missing),
            found[0],
        )
    return tuple(_together(found[place:]) for place in range(len(found)))


def _together(found: tuple[str, ...]) -> tuple[str, ...]:
    if found[0] == TORCH_TENSORRT:
        return found[:1]
    return tuple(name for name in found if name != TORCH_TENSORRT)


def trouble(provider: str, card: Card | None = None) -> str | None:
    """Why a provider cannot run a model, or any, here, or nothing if its name says it all; None if
    it can.
    """
    if provider == TORCH_TENSORRT:
        from auricle.models.inference.program import missing, missing_here

        return missing_here() if card is None else missing(card)
    return _tried(provider)


@functools.cache
def _tried(provider: str) -> str | None:
    """Likewise of ONNX Runtime's: a GPU build of it lists providers whose libraries or GPU may be
    missing.
    """
    import onnxruntime

    if provider not in onnxruntime.get_available_providers():
        return ""
    if provider not in ACCELERATORS:
        return None
    _load_libraries(provider)
    # It would say at length what the one line says.
    onnxruntime.set_default_logger_severity(4)
    try:
        session = onnxruntime.InferenceSession(_nothing(), providers=[provider], enable_fallback=0)
    except Exception as error:  # ONNX Runtime's own classes have no common base but this
        return one_line(error)
    return None if provider in session.get_providers() else "its libraries or a GPU are missing"


def _load_libraries(provider: str) -> None:
    """CUDA's and TensorRT's, where pip has installed them beside this."""
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(None):
            onnxruntime.preload_dlls()
    if provider == TENSORRT:
        with contextlib.suppress(ImportError, OSError):
            importlib.import_module("tensorrt")


def _nothing() -> bytes:
    """A model that gives what it takes."""
    from onnx import TensorProto, helper

    one, other = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "ab")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["b"])], "nothing", [one], [other]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def with_options(providers: Sequence[str], folder: Path, card: Card) -> list[Any]:
    """Providers as ONNX Runtime takes them. TensorRT's engines are kept on disk, by the model's
    file.

    ONNX Runtime tells them apart by kind of GPU and versions, but not by weights.

    Raises:
        ProviderError: They cannot be kept.
    """
    return [
        (name, _tensorrt_options(folder, card)) if name == TENSORRT else name for name in providers
    ]


def _tensorrt_options(model: Path, card: Card) -> dict[str, str]:
    digest = card.sha256 or sha256(model_path(model, card))
    folder = cache_folder() / "engines" / f"onnxruntime-{digest[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProviderError(f"{card.name}: engines cannot be kept: {error}") from error
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": str(card.precision == "fp16"),
    }


def _why(what: str | None) -> str:
    return f": {what}" if what else ""


def _brackets(what: str) -> str:
    return f" ({what})" if what else ""
