"""Commands: what a node can be asked to change while it runs.

A command checks its arguments and returns the change to make. Nothing happens until the change is
called, so a command given to many nodes takes effect in all of them or in none. Its signature and
docstring are what people are shown of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Change = Callable[[], Any]
"""Makes a change that was checked, from the node's next window on, and returns what to answer. May
raise ConfigError if another change was made since the check."""

Command = Callable[..., Change]
"""Takes named arguments; raises ConfigError, and changes nothing, if they cannot be used, or
NothingToChangeError if only this node has nothing to change. Commands and changes are called on the
control thread, while other threads run the node."""
