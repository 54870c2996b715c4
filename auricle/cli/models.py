"""`auricle models`: listing, downloading, checking and exporting models."""

from __future__ import annotations

import json
import sys
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auricle.cli.output import say
from auricle.errors import FAILED

if TYPE_CHECKING:
    from auricle.models.card import Card

SHOWN_LABELS = 50
"""Labels that `info` prints of a model; `--json` prints all of them."""

LISTED = ("name", "state", "licence", "description", "size_bytes")
"""Fields of a model in the JSON of `list`."""


@click.group()
def models() -> None:
    """List, download, check and export models.

    Models are stored in the user's cache folder, or in the folder that AURICLE_CACHE names.
    Essentia's models are downloaded from its site, or from the mirror at AURICLE_MODELS_URL.
    """


@models.command("list")
@click.option(
    "--all",
    "published",
    is_flag=True,
    help="Include the models of Essentia's site.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_models(published: bool, as_json: bool) -> None:
    """List models that are installed or can be downloaded, with sizes in MB."""
    from auricle.models.published import PUBLISHED
    from auricle.models.registry import available

    entries = available(published)
    if as_json:
        values = [dict(zip(LISTED, attrgetter(*LISTED)(entry), strict=True)) for entry in entries]
        say(json.dumps(values))
        return
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        size, licence = f"{entry.size_bytes / 1e6:.1f} MB", _short(entry.licence)
        say(f"{entry.name:<{width}} {entry.state:<10} {size:>8}  {licence:<15} {entry.description}")
    for licence in sorted(
        {entry.licence for entry in entries if entry.licence != _short(entry.licence)}
    ):
        say(f"\n{licence}")
    if not published:
        say(
            f"\n{len(PUBLISHED)} more models can be downloaded from Essentia's site: "
            "auricle models list --all"
        )


def _short(licence: str) -> str:
    """Name of a licence, without its address in parentheses."""
    return licence.partition(" (")[0]


@models.command(epilog="Example: auricle models pull musicnn-mtt")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--sha256", metavar="HEX", help="Refuse a model of Essentia's site that has another hash."
)
def pull(names: tuple[str, ...], sha256: str | None) -> None:
    """Download models and convert them to ONNX.

    Models that are installed already are left alone.
    """
    from auricle.models import pulling

    if sha256 and len(names) > 1:
        raise click.UsageError("--sha256 is the hash of one model; give one name.")
    for name in names:
        folder = pulling.pull(name, lambda line: say(line, err=True), sha256)
        say(f"{name}: {folder}")


@models.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the whole card as JSON.")
def info(name: str, as_json: bool) -> None:
    """Show the card of a model.

    NAME is an installed model, or the folder of a model. Prints among others what it hears, with
    the segment and its hop in mel frames, and its labels.
    """
    from auricle.models import registry

    card = registry.info(name)
    if as_json:
        say(card.model_dump_json(by_alias=True, exclude_none=True, indent=2))
        return
    rows = {
        "name": f"{card.name} {card.version}",
        "type": card.type,
        "about": card.description,
        "licence": card.licence,
        "source": card.source,
        "hears": _input_of(card),
        "gives": ", ".join(f"{output.name} {list(output.shape)}" for output in card.io.outputs),
        "patches": _levels_of(card),
        "numbers": " ".join(str(each) for each in (card.precision, card.deviation) if each),
        "program": card.program and f"{card.program}, which torch-tensorrt compiles",
        "labels": _labels_of(card),
        "folder": str(registry.find(name)),
    }
    for title, value in rows.items():
        if value:
            say(f"{title:<8} {value}")


def _input_of(card: Card) -> str:
    """The features that a model takes and the segments it takes them in; empty for a head."""
    front_end = card.front_end
    if front_end is None:
        return ""
    bands = f"{front_end.n_mels} mel bands ({front_end.name}) of {front_end.sample_rate} Hz audio"
    return f"{bands}, {card.segment_size} frames every {card.segment_hop_size}"


def _levels_of(card: Card) -> str:
    """The patchout levels of a transformer, with the patches that each keeps; empty for others."""
    grid = card.patch_grid
    if grid is None:
        return ""
    return ", ".join(f"{level.name} ({grid.tokens(level)})" for level in card.patchout)


def _labels_of(card: Card) -> str:
    """The first labels of a model, and how many there are beyond them."""
    more = len(card.classes) - SHOWN_LABELS
    shown = ", ".join(card.classes[:SHOWN_LABELS])
    return f"{shown} and {more} more" if more > 0 else shown


@models.command()
@click.argument("name", required=False)
def verify(name: str | None) -> None:
    """Check that installed models are undamaged and run.

    Checks the model called NAME, or all of them.
    """
    from auricle.models import registry

    verdicts = registry.verify(name)
    if not verdicts:
        say("no models are installed; auricle models list shows which can be downloaded", err=True)
    for verdict in verdicts:
        say(f"{verdict.name}: {verdict.problem or 'ok'}", err=verdict.problem is not None)
    sys.exit(FAILED if any(verdict.problem for verdict in verdicts) else 0)


@models.command(
    epilog="""\b
Examples:
  auricle models export discogs-maest-30s-pw.ckpt maest-live --precision int8
  auricle models export model.safetensors maest --labels discogs.json --tokens cls,dist"""
)
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="Name of the model.  [default: the folder's name]")
@click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Text file with one label per line, or a card with `classes`. Without labels, the model "
    "gives no activations and ends at --block.",
)
@click.option(
    "--block",
    type=click.IntRange(0),
    default=6,
    metavar="N",
    show_default=True,
    help="Transformer block whose tokens make the embeddings, from 0.",
)
@click.option(
    "--tokens",
    default="cls,dist,avg",
    metavar="KINDS",
    show_default=True,
    help="Tokens that make the embeddings, of cls, dist and avg; none for no embeddings.",
)
@click.option(
    "--heads",
    type=click.IntRange(1),
    metavar="N",
    help="Attention heads per block, which checkpoints do not record.  [default: width / 64]",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "int8", "fp16"]),
    default="fp32",
    show_default=True,
    help="Precision of the weights; int8 is for CPUs, fp16 for GPUs.",
)
@click.option(
    "--program",
    is_flag=True,
    help="Also write the torch program that the provider torch-tensorrt compiles; not with int8.",
)
@click.option(
    "--try-on",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Audio file on which the model is compared with the checkpoint; the card gets the "
    "deviation.  [default: the demo clip]",
)
@click.option("--licence", metavar="SPDX", help="SPDX identifier of the licence, for the card.")
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
    """Convert a MAEST checkpoint to a model folder.

    CHECKPOINT is a file of torch, or safetensors from Hugging Face. FOLDER must not exist. The
    patchout level is chosen when the model is run. Needs torch: pip install 'auricle[train]'.
    """
    if folder.exists():
        raise click.UsageError(f"{folder} already exists")
    from auricle.cli.exporting import export_checkpoint

    kinds = () if tokens == "none" else tuple(tokens.split(","))
    card = export_checkpoint(
        checkpoint,
        folder,
        name=name or folder.name,
        labels=labels,
        block=block,
        kinds=kinds,  # type: ignore[arg-type]  # validated by `Export`
        heads=heads,
        precision=precision,  # type: ignore[arg-type]  # validated by click
        program=program,
        try_on=try_on,
        licence=licence,
        progress=lambda line: say(line, err=True),
    )
    say(f"{card.name}: {folder}")
    if card.deviation is not None:
        say(str(card.deviation))
