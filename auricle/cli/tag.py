"""`auricle tag`: files in, tags out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auricle.errors import FAILED, INCOMPLETE
from auricle.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from rich.progress import Progress

    from auricle.nodes.sinks.collector import Segment
    from auricle.tagging import FileTagger

TOP = 10
"""Labels of a table."""


@dataclass(frozen=True)
class _Form:
    """What to print."""

    segments: bool
    jsonl: bool
    embeddings: bool


@click.command(
    epilog="""\b
Examples:
  auricle tag song.mp3
  auricle tag ~/Music --jsonl > tags.jsonl
  auricle tag song.flac --segments --hop-frames 16"""
)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, help="Model by name, or its folder."
)
@click.option(
    "--hop-frames",
    type=click.IntRange(1),
    help="Frames from one segment to the next (the model card's).",
)
@click.option("--segments", is_flag=True, help="One JSON object a segment.")
@click.option("--jsonl", is_flag=True, help="One JSON object a file instead of a table.")
@click.option("--embeddings", is_flag=True, help="Add the embeddings (with --segments).")
@click.option("--patchout", metavar="LEVEL", help="Patches of a transformer to look at (all).")
@click.option("--threads", type=click.IntRange(1), help="Threads of one inference (all cores).")
def tag(
    files: tuple[Path, ...],
    model: str,
    hop_frames: int | None,
    segments: bool,
    jsonl: bool,
    embeddings: bool,
    patchout: str | None,
    threads: int | None,
) -> None:
    """Tag audio files, or all those in folders.

    Prints the mean activations of each file: a table of the strongest, or JSON Lines. A file that
    cannot be read is reported and does not stop the others; the exit code is then 1. It is 3 if all
    were read but one was incomplete.
    """
    if embeddings and not segments:
        raise click.UsageError("--embeddings goes with --segments")
    from auricle.cli.files import audio_files
    from auricle.engine.scheduler import usable_cores
    from auricle.errors import InputError
    from auricle.tagging import FileTagger

    form = _Form(segments, jsonl or segments, embeddings)
    outcome = 0
    with _progress(form) as progress:
        for path in files:
            try:
                found = audio_files(path)
            except InputError as error:
                _say(progress, str(error))
                outcome = FAILED
                continue
            for file in found:
                try:
                    tagger = FileTagger(
                        file, model, hop_frames, threads or usable_cores(), embeddings, patchout
                    )
                    warnings = _tag_one(file, tagger, form, progress)
                except InputError as error:
                    _say(progress, error.message)
                    outcome = FAILED
                    continue
                for warning in warnings:
                    _say(progress, warning)
                    outcome = outcome or INCOMPLETE
    sys.exit(outcome)


def _tag_one(file: Path, tagger: FileTagger, form: _Form, progress: Progress | None) -> list[str]:
    """Tag `file` and print what `form` asks for; returns what was wrong with it."""
    import numpy as np

    task = progress.add_task(file.name, total=tagger.input.duration_s) if progress else None
    total = np.zeros(len(tagger.labels))
    level = {"patchout": tagger.patchout} if tagger.patchout else {}
    count = 0
    for segment in tagger:
        count += 1
        total += list(segment.activations.values())
        if form.segments:
            _print(progress, json.dumps({**_segment_object(file, segment), **level}))
        if progress and task is not None:
            progress.update(task, completed=tagger.decoded_s)
    if progress and task is not None:
        progress.remove_task(task)
    warnings = list(tagger.input.warnings)
    if not count:
        heard = f"{tagger.decoded_s:.3g} s of audio"
        warnings.append(
            f"{file}: {heard} gave no segment; {tagger.model_name} takes {tagger.segment_s:.3g} s"
        )
        return warnings
    means = dict(zip(tagger.labels, (total / count).tolist(), strict=True))
    if not form.jsonl:
        _print_table(progress, file, tagger.decoded_s, means)
    elif not form.segments:
        summary = {
            "file": str(file),
            "duration": tagger.decoded_s,
            "segments": count,
            "activations": means,
        }
        _print(progress, json.dumps({**summary, **level}))
    return warnings


def _segment_object(file: Path, segment: Segment) -> dict[str, Any]:
    """What a line of `--segments` holds."""
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
    return content


def _print_table(
    progress: Progress | None, file: Path, seconds: float, means: dict[str, float]
) -> None:
    """The strongest labels of a file, with bars."""
    minutes, rest = divmod(round(seconds), 60)
    lines = [f"{file}  {minutes}:{rest:02d}"]
    for label, mean in sorted(means.items(), key=lambda item: -item[1])[:TOP]:
        lines.append(f"  {label:<20} {mean:.3f} {'█' * round(mean * 40)}")
    _print(progress, "\n".join(lines))


@contextmanager
def _progress(form: _Form) -> Iterator[Progress | None]:
    """A progress bar on standard error if that is a terminal; lines of segments are progress
    enough.
    """
    if not sys.stderr.isatty() or (form.segments and sys.stdout.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress


def _print(progress: Progress | None, text: str) -> None:
    """A line on standard output, which a bar on the same terminal must not be drawn into."""
    if progress and sys.stdout.isatty():
        progress.console.print(text, markup=False, highlight=False)
    else:
        click.echo(text)


def _say(progress: Progress | None, text: str) -> None:
    """A line on standard error, likewise."""
    line = f"auricle: {' '.join(text.split())}"
    if progress:
        progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        click.echo(line, err=True)
