"""`auricle-train fit`: train what a recipe describes."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import click

from auricle.settings import parse_settings


@click.command(
    epilog="""\b
Examples:
  auricle-train fit cola-artist-small corpus.parquet features --out runs/artist
  auricle-train fit student corpus.parquet features --teacher teachers/musicnn-mtt \\
      --teacher teachers/musicnn-msd --out runs/student --set epochs=10"""
)
@click.argument("recipe")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.argument("features", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option(
    "--teacher",
    "teachers",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Folder of a model's outputs.",
)
@click.option(
    "--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe."
)
@click.option(
    "--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes for batches."
)
@click.option(
    "--accelerator", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True
)
def fit(
    recipe: str,
    manifest: Path,
    features: Path,
    out: Path,
    teachers: tuple[Path, ...],
    changes: tuple[str, ...],
    workers: int,
    accelerator: str,
) -> None:
    """Train the network of a RECIPE, which comes with Auricle or is a YAML file.

    An interrupted run in OUT continues after its last epoch. With several
    processes: torchrun --nproc-per-node 2 -m auricle.train fit ...
    """
    from auricle.training.run.recipes import load_recipe

    chosen = load_recipe(recipe, parse_settings(changes, "FIELD=VALUE"))
    from auricle.training.data.features import open_features
    from auricle.training.data.manifest import Manifest
    from auricle.training.data.material import Material
    from auricle.training.data.outputs import Outputs
    from auricle.training.run.fit import fit as train

    # One called manifest.parquet, as corpus game-music writes it, has its name from its folder.
    file = manifest.resolve()
    material = Material(
        Manifest.load(manifest),
        open_features(features),
        tuple(Outputs(teacher) for teacher in teachers),
        file.parent.name if file.stem == "manifest" else file.stem,
    )
    try:
        report = functools.partial(click.echo, err=True)
        figures = train(chosen, material, out, workers, accelerator, sys.stderr.isatty(), report)
    except KeyboardInterrupt:
        click.echo("interrupted; the same command continues behind the last whole epoch", err=True)
        raise
    if int(os.environ.get("RANK", 0)):
        return
    for name, value in figures.items():
        click.echo(f"{name} {value:.4f}")
    click.echo(f"{out}: auricle-train export {out} FOLDER makes a model of it")
