"""Reading YAML that others wrote: any text gives plain values or one kind of error, in no time."""

from __future__ import annotations

from typing import Any, Final

import yaml

MOST_LEVELS: Final = 50
"""Most lists and mappings within each other."""

MOST_VALUES: Final = 1_000_000
"""Most values, of which those that an alias repeats count again."""


def load_yaml(text: str) -> Any:
    """The value that a text in YAML describes.

    Args:
        text: YAML of plain values.

    Raises:
        ValueError: It is not YAML, a value is not what its tag says, or it is nested too deeply or
            too large.
    """
    try:
        return yaml.load(text, _Loader)
    except Exception as error:  # PyYAML lets through whatever int(), a date or a pattern raises
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None


class _Loader(yaml.SafeLoader):
    """A loader that counts levels and values, before it makes any."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._levels = 0
        self._values = 0
        self._sizes: dict[int, int] = {}  # values in a node that is complete, by its identity

    def compose_node(self, parent: Any, index: Any) -> Any:
        before, repeated = self._values, self.check_event(yaml.AliasEvent)
        self._levels += 1
        if self._levels > MOST_LEVELS:
            raise ValueError(f"nested more than {MOST_LEVELS} levels deep")
        node = super().compose_node(parent, index)
        self._levels -= 1
        if not repeated:
            self._values += 1
            self._sizes[id(node)] = self._values - before
        elif id(node) in self._sizes:
            self._values += self._sizes[id(node)]
        else:
            raise ValueError("an alias within what it stands for")
        if self._values > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values")
        return node
