"""`auricle control`: questions and commands for a running engine."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auricle.cli.group import Group
from auricle.cli.options import key_options, parse_keys, parse_settings

if TYPE_CHECKING:
    from auricle.wire.connection import Keys

EXAMPLE = "tcp://127.0.0.1:5682"


def _check_address(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Refuse a command in the place of the address: then the address was forgotten."""
    if value in control.commands:
        raise click.UsageError(
            f"the address of the engine comes before {value!r}: auricle control {EXAMPLE} {value}",
            ctx,
        )
    return value


@dataclass(frozen=True)
class Engine:
    """The engine that is asked."""

    address: str
    keys: Keys | None

    def ask(self, command: str, **arguments: Any) -> Any:
        """The answer to a command; arguments that are None are left out."""
        from auricle.wire.client import request

        given = {name: value for name, value in arguments.items() if value is not None}
        return request(self.address, command, keys=self.keys, **given)


@click.group(
    cls=Group,
    epilog="""\b
Examples:
  auricle control tcp://127.0.0.1:5682 list
  auricle control tcp://127.0.0.1:5682 add-head heads/mood
  auricle control tcp://127.0.0.1:5682 add-stream fip http://radio.example/fip.mp3
  auricle control tcp://127.0.0.1:5682 stop
  auricle control --key my.key_secret --server-key studio.key tcp://studio:5682 list""",
)
@click.argument("address", callback=_check_address)
@key_options
@click.pass_context
def control(ctx: click.Context, address: str, key: str | None, server_key: str | None) -> None:
    """Ask the engine whose control socket is at ADDRESS, or tell it what to do.

    Answers are JSON.
    """
    ctx.obj = Engine(address, parse_keys(key, server_key))


@control.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON also on a terminal.")
@click.pass_obj
def list_streams(engine: Engine, as_json: bool) -> None:
    """List the streams and how they are: a table on a terminal, JSON elsewhere."""
    streams = engine.ask("list")
    if as_json or not sys.stdout.isatty():
        _print(streams)
    else:
        from auricle.cli.stream_table import print_streams

        print_streams(streams)


@control.command()
@click.argument("stream", required=False)
@click.pass_obj
def describe(engine: Engine, stream: str | None) -> None:
    """Describe a STREAM, or all: labels, models, hop, settings, commands."""
    _print(engine.ask("describe", stream=stream))


@control.command()
@click.argument("stream", required=False)
@click.pass_obj
def statistics(engine: Engine, stream: str | None) -> None:
    """Show what every node of a STREAM, or of all, has counted."""
    _print(engine.ask("statistics", stream=stream))


@control.command()
@click.argument("stream", required=False)
@click.pass_obj
def stop(engine: Engine, stream: str | None) -> None:
    """Stop a STREAM, or all; it stays in the list."""
    _print(engine.ask("stop", stream=stream))


@control.command(
    epilog="""\b
Example:
  auricle control tcp://127.0.0.1:5682 add-stream fip http://radio.example/fip.mp3"""
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
def add_stream(engine: Engine, stream: str, source: str, settings: tuple[str, ...]) -> None:
    """Run the graph for another STREAM, which listens to INPUT.

    INPUT is a file, a URL, mic:NAME, or zmq:ADDRESS.
    """
    values = parse_settings(settings)
    _print(engine.ask("add-stream", stream=stream, input=_absolute(source), values=values))


@control.command()
@click.argument("stream")
@click.pass_obj
def remove_stream(engine: Engine, stream: str) -> None:
    """Stop a STREAM and forget it."""
    _print(engine.ask("remove-stream", stream=stream))


@control.command()
@click.argument("head")
@click.option("--stream", help="Only to this stream.  [default: to all, and those to come]")
@click.pass_obj
def add_head(engine: Engine, head: str, stream: str | None) -> None:
    """Add a HEAD, an installed one by name or a folder, to running streams."""
    _print(engine.ask("add-head", head=_absolute(head), stream=stream))


@control.command()
@click.argument("head")
@click.option("--stream", help="Only from this stream.  [default: from all, and those to come]")
@click.pass_obj
def remove_head(engine: Engine, head: str, stream: str | None) -> None:
    """Remove a HEAD from running streams."""
    _print(engine.ask("remove-head", head=head, stream=stream))


@control.command(
    epilog="""\b
Examples:
  auricle control tcp://127.0.0.1:5682 patchout t3-f3
  auricle control tcp://127.0.0.1:5682 patchout --keep-every 3 --drop-row 0 --drop-row 8
  auricle control tcp://127.0.0.1:5682 patchout --adaptive --stream mic"""
)
@click.argument("level", required=False)
@click.option("--keep-every", type=click.IntRange(1), help="Keep one column of patches in so many.")
@click.option(
    "--drop-row", "rows", type=click.IntRange(0), multiple=True, help="Leave out a row of patches."
)
@click.option(
    "--adaptive/--fixed", default=None, help="Use cheaper levels while there is not enough time."
)
@click.option("--stream", help="Only of this stream.  [default: of all, and those to come]")
@click.pass_obj
def patchout(
    engine: Engine,
    level: str | None,
    keep_every: int | None,
    rows: tuple[int, ...],
    adaptive: bool | None,
    stream: str | None,
) -> None:
    """Change which patches a transformer looks at.

    LEVEL is one of the model's card; other patches are named by options.
    """
    own = {"keep_every": keep_every or 1, "drop_rows": list(rows)} if keep_every or rows else None
    if level and own:
        raise click.UsageError("a LEVEL, or --keep-every and --drop-row, not both")
    _print(engine.ask("patchout", patchout=level or own, adaptive=adaptive, stream=stream))


@control.command(
    epilog="""\b
Examples:
  auricle control tcp://127.0.0.1:5682 call add-head head=/srv/heads/mood
  auricle control tcp://127.0.0.1:5682 call blink colour=red stream=mic   # of a node of your own"""
)
@click.argument("command")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.pass_obj
def call(engine: Engine, command: str, arguments: tuple[str, ...]) -> None:
    """Give any COMMAND that `describe` lists; the values are read as YAML."""
    given = parse_settings(arguments, form="NAME=VALUE", option="call")
    _print(engine.ask(command, **given))


def _absolute(name: str) -> str:
    """A file or folder by its whole path, since the engine may run in another folder."""
    return str(Path(name).absolute()) if Path(name).exists() else name


def _print(answer: Any) -> None:
    click.echo(json.dumps(answer, indent=2))
