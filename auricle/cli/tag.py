"""`auricle tag`: tagging audio files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auricle.cli.tag_output import TagOutput
from auricle.errors import FAILED, INCOMPLETE, AuricleError, ConfigError, one_line_with_type
from auricle.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from auricle.tagging import FileTagger


@click.command(
    epilog="""\b
Examples:
  auricle tag song.mp3
  auricle tag ~/Music --jsonl > tags.jsonl
  auricle tag song.flac --segments --hop-size 16"""
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
    "--patchout",
    metavar="LEVEL",
    help="Patchout level of a transformer.  [default: the first in its card]",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads per inference.  [default: one per core]",
)
def tag(
    files: tuple[str, ...],
    model: str,
    hop_size: int | None,
    segments: bool,
    jsonl: bool,
    embeddings: bool,
    patchout: str | None,
    threads: int | None,
) -> None:
    """Tag audio files.

    FILE is an audio file, or a folder whose audio files are tagged. Prints the mean activations of
    each file: a table of the strongest, or JSON Lines. A file that cannot be read is reported, and
    the others are still tagged; the exit code is then 1. It is 3 if all files could be read but one
    was incomplete.
    """
    if embeddings and not segments:
        raise click.UsageError("--embeddings needs --segments")
    for name in files:
        if "://" in name:
            raise ConfigError(f"{name}: not a file; to tag it live: auricle run live --input URL")
    from auricle.engine.scheduler import usable_cores
    from auricle.tagging import FileTagger

    def make_tagger(file: Path) -> FileTagger:
        return FileTagger(
            file,
            model,
            hop_size=hop_size,
            threads=threads or usable_cores(),
            embeddings=embeddings,
            patchout=patchout,
        )

    with TagOutput(segments, jsonl) as output:
        codes = {_tag_path(Path(name), make_tagger, output) for name in files}
    sys.exit(FAILED if FAILED in codes else max(codes))


def _tag_path(path: Path, make_tagger: Callable[[Path], FileTagger], output: TagOutput) -> int:
    """Tag a file, or all files in a folder; returns the exit code for them."""
    from auricle.cli.files import audio_files
    from auricle.errors import InputError, ModelError

    code = 0
    try:
        found = audio_files(path)
    except InputError as error:
        output.complain(str(error))
        return FAILED
    for file in found:
        try:
            warnings = _tag_file(file, make_tagger(file), output)
        except (ConfigError, ModelError, BrokenPipeError):  # true of every file
            raise
        except Exception as error:  # whatever is wrong with one file, the others are tagged
            output.end()
            output.complain(_describe(file, error))
            code = FAILED
            continue
        for warning in warnings:
            output.complain(warning)
            code = code or INCOMPLETE
    return code


def _describe(file: Path, error: Exception) -> str:
    """What went wrong with a file, in one line that names it."""
    text = error.message if isinstance(error, AuricleError) else one_line_with_type(error)
    return text if str(file) in text else f"{file}: {text}"


def _tag_file(file: Path, tagger: FileTagger, output: TagOutput) -> list[str]:
    """Tag one file and print its segments or its summary; returns warnings."""
    import numpy as np

    total = np.zeros(len(tagger.labels))
    count = 0
    output.begin(file, tagger.input.duration_s)
    for segment in tagger:
        count += 1
        total += list(segment.activations.values())
        output.segment(file, segment, tagger.patchout)
        output.advance(tagger.decoded_s)
    output.end()
    warnings = list(tagger.input.warnings)
    if not count:
        heard = f"{tagger.decoded_s:.3g} s of audio"
        warnings.append(
            f"{file}: {heard}, too short for a segment; "
            f"{tagger.model_name} needs {tagger.segment_s:.3g} s"
        )
        return warnings
    means = dict(zip(tagger.labels, (total / count).tolist(), strict=True))
    output.summary(file, tagger.decoded_s, count, means, tagger.patchout)
    return warnings
