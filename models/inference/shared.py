"""Objects built once per model, and built again when its folder holds another model."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from auricle.models.card import load_card, model_path
from auricle.models.files import sha256

P = ParamSpec("P")
T = TypeVar("T")


def made_once_per_model(
    make: Callable[Concatenate[Path, P], T],
) -> Callable[Concatenate[Path, P], T]:
    """Share the result of `make` among all callers with the same arguments, on any threads.

    One result is built at a time; concurrent callers wait. The result for a model that was replaced
    in its folder is dropped; callers that still have it can keep using it.

    Args:
        make: Function of a model's folder and any hashable arguments. An exception is not kept: the
            next caller tries again.

    Raises:
        ModelError: The folder has no model.
    """
    made: dict[tuple[Any, ...], tuple[object, T]] = {}
    lock = threading.Lock()  # guards `made`; held while making, so that nothing is made twice

    @functools.wraps(make)
    def ask(folder: Path, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key, model = (folder, *args, *kwargs.items()), _identity(folder)
        with lock:
            known = made.get(key)
            if known is None or known[0] != model:
                made.pop(key, None)  # first, to make room for the new one
                known = made[key] = model, make(folder, *args, **kwargs)
            return known[1]

    return ask


def _identity(folder: Path) -> object:
    """What changes when a model in a folder is replaced: its card, or the hash of its file.

    The hash is computed only if the card does not have it.
    """
    card = load_card(folder)
    return card, None if card.sha256 else sha256(model_path(folder, card))
