"""The names that messages carry in their topics."""

from __future__ import annotations

from typing import Final

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}"
"""Pattern of the names of streams, heads and arrays, which are parts of topics."""
