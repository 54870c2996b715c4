"""How functions are compiled: the options, and the machine code kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

# error_model: a division by zero gives infinity, as in hardware; a test for it would stop
# vectorisation.
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}


def compiled_and_kept(function: Callable[..., Any]) -> Any:
    """Compiles a function, and keeps the machine code on disk, where there is a place to keep it.

    The cache looks at the file of this function only: what it calls has to stand in the same file.
    """
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except (
        RuntimeError
    ):  # numba finds no folder it may write to: a read-only installation without a home
        return numba.njit(**OPTIONS)(function)
