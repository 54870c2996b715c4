"""Suggestions of models for a mistyped name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

from auricle.models.published import PUBLISHED

MOST: Final = 8
"""Most names in a message; dozens contain the name of a backbone."""

LIKENESS: Final = 0.7
"""Least similarity of a name that was probably meant, as `difflib` measures it, from 0 to 1."""


def names_near(name: str, own: Sequence[str]) -> list[str]:
    """Models whose names contain a name, those that begin with it first; or else are spelt like it.

    Args:
        name: Name that the user wrote.
        own: Names of the models installed or converted here, besides those of Essentia's site.

    Returns:
        At most `MOST` names, the user's own first; empty if no name is similar.
    """
    known = list(dict.fromkeys((*own, *PUBLISHED)))
    containing = [each for each in known if name and name in each]
    if containing:
        return sorted(containing, key=lambda each: not each.startswith(name))[:MOST]
    near = difflib.get_close_matches(name, [each for each in own if each not in PUBLISHED], 3)
    return near or _same_task(name)


def _same_task(name: str) -> list[str]:
    """Heads whose task is spelt like that of a name.

    Only tasks are compared, since most names end alike and so would all be similar. The backbone is
    that of the name, or else the first of the table.
    """
    task = _task(name)
    ending = name[len(task) :]
    on_backbone = {_task(known): known for known in reversed(PUBLISHED) if known.endswith(ending)}
    matches = difflib.get_close_matches(task, on_backbone, n=5, cutoff=LIKENESS)
    return [on_backbone[match] for match in matches]


def _task(name: str) -> str:
    """The name of a head without that of its backbone."""
    for known, model in PUBLISHED.items():
        if model.segments is not None and name.endswith(f"-{known}"):
            return name.removesuffix(f"-{known}")
    return name
