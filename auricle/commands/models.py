"""`auricle models`: which models there are, and getting them."""

from __future__ import annotations

import json
import sys

import click

from auricle.cli import FAILED


@click.group()
def models() -> None:
    """List, get and check models.

    Models live in the user's cache, or in the folder that AURICLE_CACHE names. Those of Essentia come from
    its site, or from the mirror whose address AURICLE_MODELS_URL holds.
    """


@models.command("list")
@click.option("--all", "published", is_flag=True, help="Also all that Essentia's site has for us.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def list_models(published: bool, as_json: bool) -> None:
    """Models that can be had, and those that are here."""
    from models.published import PUBLISHED
    from models.registry import available

    entries = available(published)
    if as_json:
        fields = ("name", "state", "licence", "description", "size_bytes")
        click.echo(json.dumps([{field: getattr(entry, field) for field in fields} for entry in entries]))
        return
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        size, licence = f"{entry.size_bytes / 1e6:.1f} MB", _short(entry.licence)
        click.echo(f"{entry.name:<{width}} {entry.state:<10} {size:>8}  {licence:<15} {entry.description}")
    for licence in sorted({entry.licence for entry in entries if entry.licence != _short(entry.licence)}):
        click.echo(f"\n{licence}")
    if not published:
        click.echo(f"\n{len(PUBLISHED)} models of Essentia's site can be had too: auricle models list --all")


def _short(licence: str) -> str:
    """Its name without its address."""
    return licence.partition(" (")[0]


@models.command(epilog="Example: auricle models pull musicnn-mtt")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--sha256", metavar="HEX", help="Insist on this hash of a model of Essentia's site.")
def pull(names: tuple[str, ...], sha256: str | None) -> None:
    """Get models, as ONNX. What is here already is left alone."""
    from models import registry

    if sha256 and len(names) > 1:
        raise click.UsageError("--sha256 is the hash of one model; give one name.")
    for name in names:
        folder = registry.pull(name, lambda line: click.echo(line, err=True), sha256)
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
