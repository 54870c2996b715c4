"""The protocol between a contender and the bench: JSON, one object a line.

The settings are the script's only argument. When everything is loaded, the contender writes
`{"versions": {...}}`. Each line that it then reads is a request, which it answers with one line.
`{"error": "..."}` in place of an answer ends it, and so does the end of its input.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""Answers a request."""

Prepare = Callable[[dict[str, Any]], tuple[dict[str, str], Answer]]
"""Takes the settings, loads everything, and returns versions and what answers requests."""


def serve(prepare: Prepare) -> None:
    """Answer requests until the end of the input."""
    # Libraries print to standard output; the protocol keeps its own descriptor.
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
