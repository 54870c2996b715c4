"""Objects built once per model, and built again when its folder holds another model."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, Final, Generic, NamedTuple, ParamSpec, TypeVar

from auricle.models.card import load_card, model_path
from auricle.models.files import sha256

P = ParamSpec("P")
T = TypeVar("T")

MOST_UNUSED: Final = 4
"""Most results, such as sessions, that are kept although nobody may be using them."""

MOST_SMALL: Final = 1000
"""Most results that are plain values."""


def made_once_per_model(
    make: Callable[Concatenate[Path, P], T],
) -> Callable[Concatenate[Path, P], T]:
    """Share the result of `make` among all callers with the same arguments, on any threads.

    One result is built at a time; concurrent callers wait. The result for a model that was replaced
    in its folder is dropped; callers that still have it can keep using it. Results that nobody uses
    any more are dropped too, but for the last `MOST_UNUSED`: each number of threads that a command
    asks for has a session of its own.

    Args:
        make: Function of a model's folder and any hashable arguments. An exception is not kept: the
            next caller tries again.

    Raises:
        ModelError: The folder has no model.
    """
    made: _Made[T] = _Made()
    lock = threading.Lock()  # guards `made`; held while making, so that nothing is made twice

    @functools.wraps(make)
    def ask(folder: Path, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key, model = (folder, *args, *kwargs.items()), _identity(folder)
        with lock:
            found = made.find(key, model)
            if found is None:
                made.drop(key)  # first, to make room for the new one
                found = made.keep(key, model, make(folder, *args, **kwargs))
            return found.value

    return ask


class _Found(NamedTuple, Generic[T]):
    model: object
    value: T


class _Made(Generic[T]):
    """Results by key: the last ones, and others for as long as somebody uses them."""

    def __init__(self) -> None:
        self._last: dict[tuple[Any, ...], _Found[T]] = {}  # the oldest first
        self._used: dict[tuple[Any, ...], tuple[object, weakref.ref[Any]]] = {}

    def find(self, key: tuple[Any, ...], model: object) -> _Found[T] | None:
        """The result for a key if it is of this model; it becomes the last one."""
        found = self._last.pop(key, None)
        if found is None and key in self._used:
            of, reference = self._used.pop(key)
            value = reference()
            found = None if value is None else _Found(of, value)
        if found is None or found.model != model:
            return None
        return self.keep(key, model, found.value)

    def drop(self, key: tuple[Any, ...]) -> None:
        self._last.pop(key, None)
        self._used.pop(key, None)

    def keep(self, key: tuple[Any, ...], model: object, value: T) -> _Found[T]:
        """Keep a result as the last one; the oldest is from now on kept by its users alone."""
        self._last[key] = found = _Found(model, value)
        large = [each for each, of in self._last.items() if _is_shareable(of.value)]
        small = [each for each in self._last if each not in large]
        for each in (*large[:-MOST_UNUSED], *small[:-MOST_SMALL]):
            old = self._last.pop(each)
            if each in large:
                self._used[each] = old.model, weakref.ref(old.value)
        self._used = {each: of for each, of in self._used.items() if of[1]() is not None}
        return found


def _is_shareable(value: object) -> bool:
    """Whether it can be seen if somebody uses it, as sessions can and tuples of names cannot."""
    return type(value).__weakrefoffset__ != 0


def _identity(folder: Path) -> object:
    """What changes when a model in a folder is replaced: its card, or the hash of its file.

    The hash is computed only if the card does not have it.
    """
    card = load_card(folder)
    return card, None if card.sha256 else sha256(model_path(folder, card))
