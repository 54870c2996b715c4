"""The output of `auricle tag`: tables, JSON Lines, and one progress bar on a terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from auricle.cli.output import say, words
from auricle.cli.tag_work import Watcher
from auricle.errors import escaped

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from auricle.cli.tag_work import Tagged
    from auricle.nodes.sinks.collector import Segment

TOP = 10
"""Number of labels in a table, unless another is asked for."""

LABEL_WIDTH = 20
"""Least characters of the column of labels."""

BAR_WIDTH = 40
"""Characters of the bar of activation 1."""

NAME_WIDTH = 30
"""Most characters of a file's name beside the progress bar."""


class TagOutput(Watcher):
    """Prints results on standard output, and progress and warnings on standard error.

    Args:
        segments: Whether to print one JSON object per segment.
        jsonl: Whether to print one JSON object per file instead of a table.
        top_k: Most labels of a file or segment, strongest first; None for all in JSON, and `TOP` in
            tables.
        embeddings: Whether to print the embeddings of segments.
        quiet: Whether to print no results.
    """

    def __init__(
        self,
        segments: bool,
        jsonl: bool,
        *,
        top_k: int | None = None,
        embeddings: bool = False,
        quiet: bool = False,
    ) -> None:
        self.segments = segments
        self.jsonl = jsonl
        self._top_k = top_k
        self._embeddings = embeddings
        self._quiet = quiet
        self._files = _Files()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        # Segments that scroll by on a terminal are progress enough.
        on_terminal = sys.stderr.isatty()
        if on_terminal and not (self.segments and sys.stdout.isatty()):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.fields[count]}"),
                BarColumn(),
                TextColumn("{task.fields[rate]}", style="cyan"),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.description}", style="dim", markup=False),
            )
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

    def expect(self, files: int) -> None:
        """Show a progress bar for so many files."""
        self._files.total = files
        if self._progress is not None:
            self._task = self._progress.add_task("", total=files, **self._files.fields())

    def begin(self, file: Path, duration_s: float | None) -> None:
        self._files.duration_s, self._files.decoded_s = duration_s, 0.0
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=escaped(file.name)[:NAME_WIDTH])

    def advance(self, decoded_s: float) -> None:
        self._files.decoded_s = decoded_s
        self._draw()

    def end(self, seconds: float = 0.0) -> None:
        """Count a file as done, of which `seconds` were decoded."""
        self._files.end(seconds)
        self._draw()

    def _draw(self) -> None:
        if self._progress is not None and self._task is not None:
            fields = self._files.fields()
            self._progress.update(self._task, completed=self._files.completed, **fields)

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
            **self._scores(segment.activations, segment.heads),
        }
        if self._embeddings and segment.embeddings is not None:
            content["embeddings"] = segment.embeddings.tolist()
        if segment.flags:
            content["flags"] = segment.flags
        self._print(json.dumps(_with_level(content, patchout)))

    def summary(self, tagged: Tagged) -> None:
        """Print the mean activations of a file, unless its segments were printed."""
        if self.segments or self._quiet:
            return
        if not self.jsonl:
            self._print(_table(tagged, self._top_k or TOP))
            return
        content = {
            "file": str(tagged.file),
            "duration": tagged.seconds,
            "segments": tagged.count,
            **self._scores(tagged.means, tagged.heads),
        }
        self._print(json.dumps(_with_level(content, tagged.patchout)))

    def _scores(
        self, activations: Mapping[str, float], heads: Mapping[str, Mapping[str, float]]
    ) -> dict[str, Any]:
        """The fields of JSON with the activations of the model and of heads."""
        content: dict[str, Any] = {"activations": self._strongest(activations)}
        if heads:
            content["heads"] = {name: self._strongest(scores) for name, scores in heads.items()}
        return content

    def _strongest(self, activations: Mapping[str, float]) -> Mapping[str, float]:
        return activations if self._top_k is None else dict(_ranked(activations, self._top_k))

    def complain(self, text: str) -> None:
        """Print a warning or an error as one line on standard error."""
        self.say(f"auricle: {' '.join(text.split())}")

    def say(self, line: str) -> None:
        """Print a line on standard error."""
        if self._progress is not None:
            self._progress.console.print(words(line), soft_wrap=True)
        else:
            say(line, err=True)

    def _print(self, text: str) -> None:
        """Print a line on standard output; a bar on the same terminal stays below it."""
        if self._progress is not None and sys.stdout.isatty():
            self._progress.console.print(words(text))
        else:
            say(text)


class _Files:
    """How many files are done, how much audio that was, and how far the present one is."""

    def __init__(self) -> None:
        self.total = 0
        self.duration_s: float | None = None
        self.decoded_s = 0.0
        self._done = 0
        self._done_s = 0.0
        self._began = time.monotonic()

    def end(self, seconds: float) -> None:
        self._done += 1
        self._done_s += seconds
        self.duration_s, self.decoded_s = None, 0.0

    @property
    def completed(self) -> float:
        """Files done, and the part of the present one that is."""
        part = min(1.0, self.decoded_s / self.duration_s) if self.duration_s else 0.0
        return self._done + part

    def fields(self) -> dict[str, Any]:
        """The texts beside the bar."""
        elapsed_s = max(1e-3, time.monotonic() - self._began)
        times = (self._done_s + self.decoded_s) / elapsed_s
        return {
            "count": f"{self._done}/{self.total} files",
            "rate": f"{times:.0f}x real time" if times else "",
        }


def _with_level(content: dict[str, Any], patchout: str) -> dict[str, Any]:
    return {**content, "patchout": patchout} if patchout else content


def _ranked(activations: Mapping[str, float], top_k: int) -> list[tuple[str, float]]:
    return sorted(activations.items(), key=lambda item: -item[1])[:top_k]


def _table(tagged: Tagged, top_k: int) -> str:
    """The strongest labels of a file, and those of each head, with bars."""
    minutes, rest = divmod(round(tagged.seconds), 60)
    blocks = {"": _ranked(tagged.means, top_k)} if tagged.means else {}
    blocks |= {name: _ranked(scores, top_k) for name, scores in tagged.heads.items()}
    width = max(LABEL_WIDTH, *(len(label) for rows in blocks.values() for label, _ in rows))
    lines = [f"{tagged.file}  {minutes}:{rest:02d}"]
    for name, rows in blocks.items():
        if name:
            lines.append(f"  {name}:")
        indent = "    " if name else "  "
        for label, mean in rows:
            column = f"{indent}{label}".ljust(width + 2)
            lines.append(f"{column} {mean:.3f} {'█' * round(mean * BAR_WIDTH)}")
    return "\n".join(lines)
