"""Commands: what a node can be asked to change while it runs.

A command checks its arguments and returns the change to make. Nothing happens until the change is
called, so a command given to many nodes takes effect in all of them or in none. Users are shown its
signature and its docstring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Change = Callable[[], Any]
"""Makes a change that was checked, from the node's next window on, and returns the answer to it.
Raises ConfigError if another change, made since the check, rules it out."""

Command = Callable[..., Change]
"""Takes named arguments and returns a change. Raises ConfigError, and changes nothing, if they
cannot be used; NothingToChangeError if this node has nothing to change, which is an error only if
no other node has either. Commands and changes are called on the control thread, while other threads
run the node."""
