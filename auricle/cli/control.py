"""`auricle control`: questions and commands for a running engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auricle.cli.options import parse_keys, parse_settings

if TYPE_CHECKING:
    from auricle.wire.client import Keys


@click.group(
    epilog="""\b
Examples:
  auricle control tcp://127.0.0.1:5682 list
  auricle control tcp://127.0.0.1:5682 add-head heads/mood
  auricle control tcp://127.0.0.1:5682 add-stream fip http://radio.example/fip.mp3
  auricle control tcp://127.0.0.1:5682 stop
  auricle control --key my.key_secret --server-key studio.key tcp://studio:5682 list"""
)
@click.argument("address")
@click.option(
    "--key", type=click.Path(), help="Own .key_secret file, for an engine beyond this machine."
)
@click.option("--server-key", type=click.Path(), help="The server's .key file, likewise.")
@click.pass_context
def control(ctx: click.Context, address: str, key: str | None, server_key: str | None) -> None:
    """Ask the engine whose control socket is at ADDRESS, or tell it what to do. Answers are JSON."""
    ctx.obj = (address, parse_keys(key, server_key))


@control.command("list")
@click.pass_obj
def list_streams(target: tuple[str, Keys | None]) -> None:
    """The streams, and how they are."""
    _ask(target, "list")


@control.command()
@click.argument("stream", required=False)
@click.pass_obj
def statistics(target: tuple[str, Keys | None], stream: str | None) -> None:
    """What every node of a stream, or of all, has counted."""
    _ask(target, "statistics", **({"stream": stream} if stream else {}))


@control.command()
@click.argument("stream", required=False)
@click.pass_obj
def stop(target: tuple[str, Keys | None], stream: str | None) -> None:
    """Stop a stream, or all; it stays in the list."""
    _ask(target, "stop", **({"stream": stream} if stream else {}))


@control.command(
    epilog="Example: auricle control tcp://127.0.0.1:5682 add-stream fip http://radio.example/fip.mp3"
)
@click.argument("stream")
@click.argument("source", metavar="INPUT")
@click.option(
    "--set",
    "settings",
    metavar="NODE.PARAM=VALUE",
    multiple=True,
    help="A parameter that differs from the graph's; the value is read as YAML.",
)
@click.pass_obj
def add_stream(
    target: tuple[str, Keys | None], stream: str, source: str, settings: tuple[str, ...]
) -> None:
    """Run the graph for another STREAM, which listens to INPUT: a file, a URL, mic:NAME,
    zmq:ADDRESS.
    """
    place = str(Path(source).absolute()) if Path(source).exists() else source
    _ask(target, "add-stream", stream=stream, input=place, values=parse_settings(settings))


@control.command()
@click.argument("stream")
@click.pass_obj
def remove_stream(target: tuple[str, Keys | None], stream: str) -> None:
    """Stop a stream and forget it."""
    _ask(target, "remove-stream", stream=stream)


@control.command()
@click.argument("head")
@click.option("--stream", help="Of this stream; of all that take heads, if left out.")
@click.pass_obj
def add_head(target: tuple[str, Keys | None], head: str, stream: str | None) -> None:
    """Add a head, an installed one by name or a folder, to what is running."""
    # The engine may run in another folder.
    place = str(Path(head).absolute()) if Path(head).exists() else head
    _ask(target, "add-head", head=place, **({"stream": stream} if stream else {}))


@control.command()
@click.argument("head")
@click.option("--stream", help="Of this stream; of all that have it, if left out.")
@click.pass_obj
def remove_head(target: tuple[str, Keys | None], head: str, stream: str | None) -> None:
    """Take a head away from what is running."""
    _ask(target, "remove-head", head=head, **({"stream": stream} if stream else {}))


@control.command(
    epilog="""\b
Examples:
  auricle control tcp://127.0.0.1:5682 patchout t3-f3
  auricle control tcp://127.0.0.1:5682 patchout --keep-every 3 --drop-row 0 --drop-row 8 --stream mic
  auricle control tcp://127.0.0.1:5682 patchout --adaptive"""
)
@click.argument("level", required=False)
@click.option("--keep-every", type=click.IntRange(1), help="Keep one column of patches in so many.")
@click.option(
    "--drop-row", "rows", type=click.IntRange(0), multiple=True, help="Leave out a row of patches."
)
@click.option(
    "--adaptive/--fixed", default=None, help="Go to cheaper levels while there is not enough time."
)
@click.option("--stream", help="Of this stream; of all, and those that come later, if left out.")
@click.pass_obj
def patchout(
    target: tuple[str, Keys | None],
    level: str | None,
    keep_every: int | None,
    rows: tuple[int, ...],
    adaptive: bool | None,
    stream: str | None,
) -> None:
    """Change which patches a transformer looks at: a LEVEL of the model's card, or patches to keep."""
    own = {"keep_every": keep_every or 1, "drop_rows": list(rows)} if keep_every or rows else None
    if level and own:
        raise click.UsageError("a LEVEL, or --keep-every and --drop-row, not both")
    arguments = {"patchout": level or own, "adaptive": adaptive, "stream": stream}
    _ask(
        target,
        "patchout",
        **{name: value for name, value in arguments.items() if value is not None},
    )


def _ask(target: tuple[str, Keys | None], command: str, **arguments: Any) -> None:
    from auricle.wire.client import request

    address, keys = target
    click.echo(json.dumps(request(address, command, keys=keys, **arguments), indent=2))
