"""A progress bar over the tracks of a corpus."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Tracks:
    """A bar in tracks, on standard error if that is a terminal.

    The remaining time is estimated from the duration of the tracks.

    Args:
        title: Text before the bar.
        durations_s: Seconds of each track, by its id.
    """

    def __init__(self, title: str, durations_s: Mapping[str, float]) -> None:
        self._durations_s = durations_s
        self._count = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}/" + str(len(durations_s))),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task(title, total=sum(durations_s.values()), count=0)

    def finished(self, track_id: str) -> None:
        """Count a track as done."""
        self._count += 1
        self._progress.update(self._task, advance=self._durations_s[track_id], count=self._count)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
