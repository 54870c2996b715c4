"""`auricle-train vary`: more music for teachers to label."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from auricle.training.data.manifest import Manifest


@click.command(
    epilog="Example: auricle-train vary corpus.parquet features --times 2 --out varied.parquet"
)
@click.argument("manifest", type=click.Path(path_type=Path))
@click.argument("features", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Manifest with the variations."
)
@click.option(
    "--times", type=click.IntRange(1), default=1, show_default=True, help="Variations of a track."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def vary(manifest: Path, features: Path, out: Path, times: int, seed: int) -> None:
    """Make variations of the training tracks: filtered, shifted, stretched, mixed with each other.

    Their mel frames are added to FEATURES, and only the new manifest lists them. For distillation:
    run the teachers on them with auricle-train teach, to give a student more to learn from.
    """
    from rich.console import Console
    from rich.progress import Progress

    from auricle.training.data.variations import vary as make

    if not out.resolve().parent.is_dir():
        raise click.UsageError(f"--out {out}: folder {out.parent} does not exist")
    corpus = Manifest.load(manifest)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("variations", total=times * len(corpus.part("train")))
        varied = make(corpus, features, times, seed, lambda track: progress.advance(task))
    varied.save(out)
    click.echo(f"{out}: {len(varied)} tracks, {len(varied) - len(corpus)} of them variations")
