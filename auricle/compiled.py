"""Compiling functions with numba, with common options and the machine code cached on disk.

Imports nothing else of Auricle, so that models, nodes and training may import it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
"""Options of numba. With the error model of NumPy, a division by zero gives infinity; Python's test
for it would prevent vectorisation."""


def compiled_and_kept(function: Callable[..., Any]) -> Any:
    """Compile a function, and cache its machine code on disk where numba finds a folder for it.

    The cache is refreshed when the file of the function changes, and no other file is checked:
    compiled functions that it calls must be in the same file.

    Args:
        function: Function to compile; it runs without the GIL.
    """
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # no writable folder: a read-only installation without a home
        return numba.njit(**OPTIONS)(function)
