"""Printing the streams of an engine as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auricle.cli.output import words

STYLES = {"running": "green", "waiting": "yellow", "failed": "red"}
"""Colours of states; all others have none."""


def print_streams(streams: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one line per stream: name, state, seconds heard, losses, error.

    Args:
        streams: Result of the command `list`: summaries of streams by name.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("STREAM", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    table.add_column("HEARD", justify="right", no_wrap=True)
    table.add_column("LOST OR LEFT OUT")
    table.add_column("ERROR")
    for name, stream in streams.items():
        state = str(stream.get("state"))
        counts = ", ".join(f"{reason} {n}" for reason, n in stream.get("counts", {}).items())
        table.add_row(
            words(name),
            words(state, STYLES.get(state, "")),
            _format_duration(float(stream.get("seconds", 0))),
            words(counts),
            words(stream.get("error") or ""),
        )
    console = Console()
    console.print(table if streams else "no streams")


def _format_duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds: `1:02:03`, or `2:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
