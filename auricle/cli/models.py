"""`auricle models`: which models there are, and getting them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from auricle.errors import FAILED

SHOWN_LABELS = 50
"""Of a model with hundreds, `--json` has all."""


@click.group()
def models() -> None:
    """List, get and check models.

    Models live in the user's cache, or in the folder that AURICLE_CACHE names. Those of Essentia
    come from its site, or from the mirror whose address AURICLE_MODELS_URL holds.
    """


@models.command("list")
@click.option("--all", "published", is_flag=True, help="Also all that Essentia's site has for us.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def list_models(published: bool, as_json: bool) -> None:
    """Models that can be had, and those that are here."""
    from auricle.models.published import PUBLISHED
    from auricle.models.registry import available

    entries = available(published)
    if as_json:
        fields = ("name", "state", "licence", "description", "size_bytes")
        click.echo(
            json.dumps([{field: getattr(entry, field) for field in fields} for entry in entries])
        )
        return
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        size, licence = f"{entry.size_bytes / 1e6:.1f} MB", _short(entry.licence)
        click.echo(
            f"{entry.name:<{width}} {entry.state:<10} {size:>8}  {licence:<15} {entry.description}"
        )
    for licence in sorted(
        {entry.licence for entry in entries if entry.licence != _short(entry.licence)}
    ):
        click.echo(f"\n{licence}")
    if not published:
        click.echo(
            f"\n{len(PUBLISHED)} models of Essentia's site can be had too: auricle models list --all"
        )


def _short(licence: str) -> str:
    """Its name without its address."""
    return licence.partition(" (")[0]


@models.command(epilog="Example: auricle models pull musicnn-mtt")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--sha256", metavar="HEX", help="Insist on this hash of a model of Essentia's site.")
def pull(names: tuple[str, ...], sha256: str | None) -> None:
    """Get models, as ONNX. What is here already is left alone."""
    from auricle.models import pulling

    if sha256 and len(names) > 1:
        raise click.UsageError("--sha256 is the hash of one model; give one name.")
    for name in names:
        folder = pulling.pull(name, lambda line: click.echo(line, err=True), sha256)
        click.echo(f"{name}: {folder}")


@models.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="The whole card.")
def info(name: str, as_json: bool) -> None:
    """Show the card of an installed model, or of the model in a folder."""
    from auricle.models import registry

    card = registry.info(name)
    if as_json:
        click.echo(card.model_dump_json(by_alias=True, exclude_none=True, indent=2))
        return
    grid, more = card.patch_grid, len(card.classes) - SHOWN_LABELS
    rows = {
        "name": f"{card.name} {card.version}",
        "type": card.type,
        "about": card.description,
        "licence": card.licence,
        "source": card.source,
        "hears": card.front_end
        and f"{card.front_end.n_mels} mel bands ({card.front_end.name}) of "
        f"{card.front_end.sample_rate} Hz audio, {card.segment_size} frames every {card.segment_hop_size}",
        "gives": ", ".join(f"{output.name} {list(output.shape)}" for output in card.io.outputs),
        "patches": ", ".join(f"{level.name} ({grid.tokens(level)})" for level in card.patchout)
        if grid
        else "",
        "numbers": " ".join(str(each) for each in (card.precision, card.deviation) if each),
        "program": card.program and f"{card.program}, which torch-tensorrt compiles",
        "labels": ", ".join(card.classes[:SHOWN_LABELS])
        + (f" and {more} more" if more > 0 else ""),
        "folder": str(registry.find(name)),
    }
    for title, value in rows.items():
        if value:
            click.echo(f"{title:<8} {value}")


@models.command()
@click.argument("name", required=False)
def verify(name: str | None) -> None:
    """Check that installed models are whole and run; all, or the one named."""
    from auricle.models import registry

    verdicts = registry.verify(name)
    if not verdicts:
        click.echo("no models are installed; auricle models list shows which can be had", err=True)
    for verdict in verdicts:
        click.echo(f"{verdict.name}: {verdict.problem or 'ok'}", err=verdict.problem is not None)
    sys.exit(FAILED if any(verdict.problem for verdict in verdicts) else 0)


@models.command(
    epilog="""\b
Examples:
  auricle models export discogs-maest-30s-pw.ckpt maest-live --precision int8
  auricle models export model.safetensors maest --labels discogs.json --tokens cls,dist"""
)
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="Of the model.  [default: the folder's]")
@click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A label a line, or a card with `classes`. Without labels there are no activations, and no blocks "
    "behind the embeddings'.",
)
@click.option(
    "--block", type=click.IntRange(0), default=6, show_default=True, help="Whose tokens are given."
)
@click.option(
    "--tokens",
    default="cls,dist,avg",
    show_default=True,
    help="Which make the embeddings; or none.",
)
@click.option(
    "--heads",
    type=click.IntRange(1),
    help="Of each attention, which no checkpoint tells.  [default: of 64 values]",
)
@click.option(
    "--precision", type=click.Choice(["fp32", "int8", "fp16"]), default="fp32", show_default=True
)
@click.option(
    "--program",
    is_flag=True,
    help="Write the torch program too, which the provider torch-tensorrt compiles. Not with int8.",
)
@click.option(
    "--try-on",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Music on which the file is compared with the network, for the card.  [default: the demo clip]",
)
@click.option("--licence", help="For the card, as SPDX has it.")
def export(
    checkpoint: Path,
    folder: Path,
    name: str | None,
    labels: Path | None,
    block: int,
    tokens: str,
    heads: int | None,
    precision: str,
    program: bool,
    try_on: Path | None,
    licence: str | None,
) -> None:
    """Make a model folder of a MAEST checkpoint, torch's or Hugging Face's safetensors.

    Which patches it looks at is chosen while it runs. Needs torch: pip install 'auricle[train]'.
    """
    if folder.exists():
        raise click.UsageError(f"{folder} is there already")
    from auricle.cli.exporting import export_checkpoint

    kinds = () if tokens == "none" else tuple(tokens.split(","))
    card = export_checkpoint(
        checkpoint,
        folder,
        name=name or folder.name,
        labels=labels,
        block=block,
        kinds=kinds,  # type: ignore[arg-type]  # who exports looks at them
        heads=heads,
        precision=precision,  # type: ignore[arg-type]  # click has looked at it
        program=program,
        try_on=try_on,
        licence=licence,
        tell=lambda line: click.echo(line, err=True),
    )
    click.echo(f"{card.name}: {folder}")
    if card.deviation is not None:
        click.echo(str(card.deviation))
