"""How a contender talks with the bench: JSON, one object a line.

The settings are the script's one argument. When all is loaded it says `{"versions": {...}}`. Each
line that it then reads is a request, and each is answered by one line. `{"error": "..."}` in place
of an answer ends it, and so does the end of its input.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""Does what a request asks for."""

Prepare = Callable[[dict[str, Any]], tuple[dict[str, str], Answer]]
"""Takes the settings, loads everything, and returns the versions of what takes part, and what
answers.
"""


def serve(prepare: Prepare) -> None:
    """Answer requests until there are no more."""
    # Libraries print where they like; the lines of the protocol keep a descriptor to themselves.
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(answer: dict[str, Any]) -> None:
        lines.write(json.dumps(answer) + "\n")
        lines.flush()

    try:
        versions, answer = prepare(json.loads(sys.argv[1]))
        say({"versions": versions})
        for line in sys.stdin:
            say(answer(json.loads(line)))
    except Exception as error:
        say({"error": " ".join(f"{type(error).__name__}: {error}".split())})
        raise
