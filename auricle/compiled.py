"""How functions are compiled: the options, and the machine code kept on disk.

Imports nothing of Auricle, so that models, nodes and training may import it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

# error_model: a division by zero gives infinity, as in hardware; a test for it would stop
# vectorisation.
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}


def compiled_and_kept(function: Callable[..., Any]) -> Any:
    """Compile a function, and keep the machine code on disk where numba finds a folder for it.

    The cache looks at the file of this function only: what it calls has to stand in the same file.
    """
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # no folder to write to: a read-only installation without a home
        return numba.njit(**OPTIONS)(function)
