"""Running the command as a user does, in a separate process."""

from __future__ import annotations

import subprocess
import sys
from typing import Any


def auricle(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    """`auricle ARGUMENTS`, with what it printed."""
    command = [sys.executable, "-m", "auricle", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=500, check=False, **options
    )


def assert_one_line(result: subprocess.CompletedProcess[str], *parts: str, code: int = 1) -> None:
    """That it failed with `code` and one line on standard error that has all of `parts`."""
    assert result.returncode == code, result
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in lines[0]
