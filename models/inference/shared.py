"""What is made once for each model, and anew when its folder holds another one."""

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


def once_a_model(make: Callable[Concatenate[Path, P], T]) -> Callable[Concatenate[Path, P], T]:
    """Share what `make` gives among all who ask alike; one at a time is made, and who asks
    meanwhile waits.

    What was made of a model that has been replaced is let go; who still has it goes on with it.

    Args:
        make: Takes a model's folder, and anything that can be a key. What it raises is not kept.

    Raises:
        ModelError: There is no model.
    """
    made: dict[tuple[Any, ...], tuple[object, T]] = {}
    lock = threading.Lock()

    @functools.wraps(make)
    def ask(folder: Path, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key, model = (folder, *args, *kwargs.items()), _identity(folder)
        with lock:
            known = made.get(key)
            if known is None or known[0] != model:
                made.pop(key, None)  # first, so that there is room for the new one
                known = made[key] = model, make(folder, *args, **kwargs)
            return known[1]

    return ask


def _identity(folder: Path) -> object:
    """All that a card says, the hashes of its files among it; of the file itself if it says none."""
    card = load_card(folder)
    return card, None if card.sha256 else sha256(model_path(folder, card))
