"""`auricle tag`: files in, tags out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auricle.cli.tag_output import TagOutput
from auricle.errors import FAILED, INCOMPLETE, ConfigError
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
    "--model", default=DEFAULT_MODEL, show_default=True, help="Model by name, or its folder."
)
@click.option(
    "--hop-size",
    type=click.IntRange(1),
    metavar="FRAMES",
    help="Mel frames from one segment to the next.  [default: the model card's]",
)
@click.option("--segments", is_flag=True, help="One JSON object for each segment.")
@click.option("--jsonl", is_flag=True, help="One JSON object for each file instead of a table.")
@click.option("--embeddings", is_flag=True, help="Add the embeddings (with --segments).")
@click.option(
    "--patchout", metavar="LEVEL", help="Patches that a transformer looks at.  [default: all]"
)
@click.option(
    "--threads", type=click.IntRange(1), help="Threads of one inference.  [default: all cores]"
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
    """Tag audio files, or all those in folders.

    Prints the mean activations of each file: a table of the strongest, or JSON Lines. A file that
    cannot be read is reported and does not stop the others; the exit code is then 1. It is 3 if all
    were read but one was incomplete.
    """
    if embeddings and not segments:
        raise click.UsageError("--embeddings goes with --segments")
    for name in files:
        if "://" in name:
            raise ConfigError(f"{name}: not a file; to hear it live: auricle run live --input URL")
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
    """Tag a file, or those in a folder; returns the exit code that it asks for."""
    from auricle.cli.files import audio_files
    from auricle.errors import InputError

    code = 0
    try:
        found = audio_files(path)
    except InputError as error:
        output.complain(str(error))
        return FAILED
    for file in found:
        try:
            warnings = _tag_file(file, make_tagger(file), output)
        except InputError as error:
            output.end()
            output.complain(error.message)
            code = FAILED
            continue
        for warning in warnings:
            output.complain(warning)
            code = code or INCOMPLETE
    return code


def _tag_file(file: Path, tagger: FileTagger, output: TagOutput) -> list[str]:
    """Tag one file and print what was asked for; returns what was wrong with it."""
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
            f"{file}: {heard} gave no segment; {tagger.model_name} takes {tagger.segment_s:.3g} s"
        )
        return warnings
    means = dict(zip(tagger.labels, (total / count).tolist(), strict=True))
    output.summary(file, tagger.decoded_s, count, means, tagger.patchout)
    return warnings
