"""`auricle tag`: tagging audio files."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auricle.cli.output import say
from auricle.errors import FAILED, INCOMPLETE, ConfigError
from auricle.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from auricle.cli.tag_output import TagOutput
    from auricle.cli.tag_store import TagStore
    from auricle.cli.tag_work import Tagged, TagOptions
    from auricle.nodes.signal.audio_files import Found


@click.command(
    epilog="""\b
Examples:
  auricle tag song.mp3
  auricle tag ~/Music --jsonl > tags.jsonl
  auricle tag ~/Music --out music.npz --jobs 4
  auricle tag ~/Music --out music.npz --resume       # only what is not in it yet
  auricle tag song.flac --segments --hop-size 16
  curl -s https://radio.example/show.mp3 | auricle tag -"""
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    metavar="MODEL",
    show_default=True,
    help="Name of an installed model, or the folder of a model.",
)
@click.option(
    "--head",
    "heads",
    metavar="HEAD",
    multiple=True,
    help="Also run this head on the model: the name of an installed one, or its folder. May be "
    "repeated.",
)
@click.option(
    "--hop-size",
    type=click.IntRange(1),
    metavar="FRAMES",
    help="Mel frames from one segment to the next.  [default: as in the model's card]",
)
@click.option(
    "--segments",
    is_flag=True,
    help="Print one JSON object per segment, with start and end in seconds.",
)
@click.option("--jsonl", is_flag=True, help="Print one JSON object per file instead of a table.")
@click.option("--embeddings", is_flag=True, help="Add embeddings to segments; needs --segments.")
@click.option(
    "--top-k",
    type=click.IntRange(1),
    metavar="N",
    help="Print at most N labels, strongest first.  [default: 10 in tables, all in JSON]",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write activations and embeddings, means and those of segments, to a .npz or .parquet "
    "file; no tables are printed then.",
)
@click.option("--resume", is_flag=True, help="Add to --out, and pass over files that it has.")
@click.option(
    "--patchout",
    metavar="LEVEL",
    help="Patchout level of a transformer.  [default: the first in its card]",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads per inference.  [default: one per core, shared by --jobs]",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=1,
    metavar="N",
    show_default=True,
    help="Processes that tag a file each; each loads the model.",
)
def tag(
    files: tuple[str, ...],
    model: str,
    heads: tuple[str, ...],
    hop_size: int | None,
    segments: bool,
    jsonl: bool,
    embeddings: bool,
    top_k: int | None,
    out: Path | None,
    resume: bool,
    patchout: str | None,
    threads: int | None,
    jobs: int,
) -> None:
    """Tag audio files.

    FILE is an audio file, `-` for one on standard input, or a folder whose audio files are tagged,
    at any depth; hidden files and those with other endings are passed over and counted. Prints the
    mean activations of each file: a table of the strongest, or JSON Lines. A file that cannot be
    read is reported, and the others are still tagged; the exit code is then 1. It is 3 if all files
    could be read but one was incomplete.
    """
    if embeddings and not segments:
        raise click.UsageError("--embeddings needs --segments")
    if resume and out is None:
        raise click.UsageError("--resume needs --out")
    _refuse_urls(files)
    from auricle.cli.tag_output import TagOutput
    from auricle.cli.tag_store import TagStore
    from auricle.cli.tag_work import TagOptions
    from auricle.engine.scheduler import usable_cores
    from auricle.models.registry import info

    options = TagOptions(
        model=model,
        hop_size=hop_size,
        threads=threads or max(1, usable_cores() // jobs),
        embeddings=embeddings or (out is not None and bool(info(model).embedding_size)),
        patchout=patchout,
        heads=heads,
        keep=out is not None or (segments and jobs > 1),
    )
    store = TagStore(out, resume) if out is not None else None
    output = TagOutput(
        segments, jsonl, top_k=top_k, embeddings=embeddings, quiet=out is not None and not jsonl
    )
    with store or contextlib.nullcontext(), output:
        code = _tag_all(files, options, jobs, output, store)
    if store is not None:
        say(store.describe(), err=True)
    sys.exit(code)


def _refuse_urls(names: tuple[str, ...]) -> None:
    for name in names:
        if "://" in name:
            raise ConfigError(f"{name}: not a file; to tag it live: auricle run live --input URL")


def _tag_all(
    names: tuple[str, ...],
    options: TagOptions,
    jobs: int,
    output: TagOutput,
    store: TagStore | None,
) -> int:
    """Tag the files that names stand for; returns the exit code."""
    found, code = _find(names, output)
    files = [file for file in found if store is None or not store.has(file)]
    if len(files) < len(found) and store is not None:
        output.say(f"{store.path} has {len(found) - len(files)} of {len(found)} files already")
    output.expect(len(files))
    for file, result in _results(files, options, jobs, output):
        if isinstance(result, str):
            output.end()
            output.complain(result)
            code = FAILED
            continue
        for segment in result.segments if jobs > 1 else ():
            output.segment(file, segment, result.patchout)
        output.end(result.seconds)
        if result.count:
            output.summary(result)
            if store is not None:
                store.add(result)
        for warning in result.warnings:
            output.complain(warning)
            code = code or INCOMPLETE
    return code


def _find(names: tuple[str, ...], output: TagOutput) -> tuple[list[Path], int]:
    """The files that names stand for, and the exit code so far."""
    from auricle.cli.files import audio_files

    found: list[Path] = []
    code = 0
    for name in names:
        path = _path(name)
        below = audio_files(path)
        found += below.files
        code = max(code, _report_found(path, below, output))
    return found, code


def _path(name: str) -> Path:
    """The path that a name on the command line stands for; `-` is standard input."""
    if name == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise ConfigError("-: standard input is neither a file nor a pipe")
        return Path("/dev/stdin")
    return Path(name)


def _report_found(path: Path, found: Found, output: TagOutput) -> int:
    """Say what of a folder is not tagged; returns the exit code for that."""
    for folder, reason in found.unreadable:
        output.complain(f"{folder}: {reason}")
    passed_over = found.passed_over
    if not found.files and not found.unreadable:
        what = f", only {passed_over}" if passed_over else ""
        output.complain(f"{path}: no audio files in this folder{what}")
        return FAILED
    if passed_over:
        output.complain(f"{path}: passed over: {passed_over}")
    return FAILED if found.unreadable else 0


def _results(
    files: list[Path], options: TagOptions, jobs: int, output: TagOutput
) -> Iterator[tuple[Path, Tagged | str]]:
    from auricle.cli.tag_work import tag_in_processes, try_file

    if jobs > 1:
        pipes = [file for file in files if os.path.exists(file) and not os.path.isfile(file)]
        for file in pipes:  # other processes do not have them
            yield file, try_file(file, options)
        yield from tag_in_processes([file for file in files if file not in pipes], options, jobs)
        return
    for file in files:
        yield file, try_file(file, options, output)
