"""The output of `auricle tag`: tables, JSON Lines, and a progress bar on a terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from auricle.nodes.sinks.collector import Segment

TOP = 10
"""Number of labels in a table."""

LABEL_WIDTH = 20
"""Least characters of the column of labels."""

BAR_WIDTH = 40
"""Characters of the bar of activation 1."""


class TagOutput:
    """Prints results on standard output, and progress and warnings on standard error.

    Args:
        segments: Whether to print one JSON object per segment.
        jsonl: Whether to print one JSON object per file instead of a table.
    """

    def __init__(self, segments: bool, jsonl: bool) -> None:
        self.segments = segments
        self.jsonl = jsonl
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        # Segments that scroll by on a terminal are progress enough.
        on_terminal = sys.stderr.isatty()
        if on_terminal and not (self.segments and sys.stdout.isatty()):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def begin(self, file: Path, duration_s: float | None) -> None:
        """Show a progress bar for a file of `duration_s` seconds, None if unknown."""
        if self._progress is not None:
            self._task = self._progress.add_task(file.name, total=duration_s)

    def advance(self, decoded_s: float) -> None:
        """Show that `decoded_s` seconds of the file have been decoded."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=decoded_s)

    def end(self) -> None:
        """Remove the progress bar of the file; may be called twice."""
        if self._progress is not None and self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None

    def segment(self, file: Path, segment: Segment, patchout: str) -> None:
        """Print one segment as JSON, if segments are to be printed.

        Args:
            file: File that it is from.
            segment: Segment to print; its times are in seconds.
            patchout: Patchout level of a transformer; empty for other models.
        """
        if not self.segments:
            return
        content: dict[str, Any] = {
            "file": str(file),
            "index": segment.index,
            "start": round(segment.start, 6),
            "end": round(segment.end, 6),
            "activations": segment.activations,
        }
        if segment.embeddings is not None:
            content["embeddings"] = segment.embeddings.tolist()
        if segment.flags:
            content["flags"] = segment.flags
        self._print(json.dumps(_with_level(content, patchout)))

    def summary(
        self, file: Path, seconds: float, count: int, means: dict[str, float], patchout: str
    ) -> None:
        """Print the mean activations of a file, unless its segments were printed.

        Args:
            file: File that they are of.
            seconds: Length of its audio in seconds.
            count: Number of its segments.
            means: Mean activation by label.
            patchout: Patchout level of a transformer; empty for other models.
        """
        if self.segments:
            return
        if not self.jsonl:
            self._print(_table(file, seconds, means))
            return
        content = {
            "file": str(file),
            "duration": seconds,
            "segments": count,
            "activations": means,
        }
        self._print(json.dumps(_with_level(content, patchout)))

    def complain(self, text: str) -> None:
        """Print a warning or an error as one line on standard error."""
        line = f"auricle: {' '.join(text.split())}"
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(line, err=True)

    def _print(self, text: str) -> None:
        """Print a line on standard output; a bar on the same terminal stays below it."""
        if self._progress is not None and sys.stdout.isatty():
            self._progress.console.print(text, markup=False, highlight=False)
        else:
            click.echo(text)


def _with_level(content: dict[str, Any], patchout: str) -> dict[str, Any]:
    return {**content, "patchout": patchout} if patchout else content


def _table(file: Path, seconds: float, means: dict[str, float]) -> str:
    """The strongest labels of a file, with bars."""
    minutes, rest = divmod(round(seconds), 60)
    strongest = sorted(means.items(), key=lambda item: -item[1])[:TOP]
    width = max(LABEL_WIDTH, *(len(label) for label, _ in strongest))
    lines = [f"{file}  {minutes}:{rest:02d}"]
    for label, mean in strongest:
        lines.append(f"  {label:<{width}} {mean:.3f} {'█' * round(mean * BAR_WIDTH)}")
    return "\n".join(lines)
