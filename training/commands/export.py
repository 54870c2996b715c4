"""`auricle-train export`: make a model folder of a run."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="Example: auricle-train export runs/student my-student --precision fp16")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the model.  [default: the folder's]")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="Precision of the weights in the file.",
)
@click.option(
    "--hop-size",
    type=click.IntRange(1),
    help="Mel frames from one segment to the next.  [default: about one second]",
)
@click.option("--licence", help="SPDX identifier, for the card.")
@click.option("--description", help="Description for the card.  [default: the recipe's]")
def export(
    run: Path,
    folder: Path,
    name: str | None,
    precision: str,
    hop_size: int | None,
    licence: str | None,
    description: str | None,
) -> None:
    """Export a finished RUN as a model FOLDER, ready for auricle run and auricle tag."""
    from auricle.training.run.export import export_run

    card = export_run(run, folder, name or folder.name, precision, hop_size, licence, description)  # type: ignore[arg-type]  # click has looked
    deviation = f", {card.deviation}" if card.deviation else ""
    click.echo(f"{card.name}: {folder}{deviation}")
    click.echo(f"try it: auricle tag song.mp3 --model {folder}")
