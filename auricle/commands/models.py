"""`auricle models`: which models there are, and getting them."""

from __future__ import annotations

import json
import sys

import click

from auricle.cli import FAILED


@click.group()
def models() -> None:
    """List, get and check models.

    Models live in the user's cache, or in the folder that AURICLE_CACHE names.
    """


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def list_models(as_json: bool) -> None:
    """Models that can be had, and those that are here."""
    from models.registry import available

    entries = available()
    if as_json:
        fields = ("name", "state", "licence", "description", "size_bytes")
        click.echo(json.dumps([{field: getattr(entry, field) for field in fields} for entry in entries]))
        return
    for entry in entries:
        size = f"{entry.size_bytes / 1e6:.1f} MB"
        click.echo(f"{entry.name:<14} {entry.state:<10} {size:>8}  {entry.licence:<14} {entry.description}")


@models.command(epilog="Example: auricle models pull musicnn-mtt")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def pull(names: tuple[str, ...]) -> None:
    """Get models and convert them to ONNX. What is here already is left alone."""
    from models import registry

    for name in names:
        folder = registry.pull(name, progress=lambda line: click.echo(line, err=True))
        click.echo(f"{name}: {folder}")


@models.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="The whole card.")
def info(name: str, as_json: bool) -> None:
    """Show the card of an installed model, or of the model in a folder."""
    from models import registry

    card = registry.info(name)
    if as_json:
        click.echo(card.model_dump_json(by_alias=True, exclude_none=True, indent=2))
        return
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
        "labels": ", ".join(card.classes),
        "folder": str(registry.find(name)),
    }
    for title, value in rows.items():
        if value:
            click.echo(f"{title:<8} {value}")


@models.command()
@click.argument("name", required=False)
def verify(name: str | None) -> None:
    """Check that installed models are whole and run; all, or the one named."""
    from models import registry

    verdicts = registry.verify(name)
    if not verdicts:
        click.echo("no models are installed; auricle models list shows which can be had", err=True)
    for verdict in verdicts:
        click.echo(f"{verdict.name}: {verdict.problem or 'ok'}", err=verdict.problem is not None)
    sys.exit(FAILED if any(verdict.problem for verdict in verdicts) else 0)
