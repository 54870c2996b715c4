"""`auricle control`: querying and controlling a running engine."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auricle.cli.group import Group
from auricle.cli.options import key_options, parse_keys
from auricle.cli.output import say
from auricle.settings import parse_settings

if TYPE_CHECKING:
    from auricle.wire.connection import Keys

ADDRESS = "tcp://127.0.0.1:5682"
"""Address of the control socket in the graphs that come with Auricle."""

ALL_STREAMS = "[default: all streams, later ones included]"
"""Help on the default of `--stream`."""


class ControlGroup(Group):
    """A group whose address may be left out: it is then that of the graphs that come along."""

    def with_address(self, args: list[str]) -> list[str]:
        """Arguments with the address in its place, also if it was left out."""
        options = {name for param in self.params for name in param.opts if name.startswith("-")}
        place = 0
        while place < len(args) and args[place].startswith("-"):
            place += 2 if args[place] in options else 1
        if place < len(args) and args[place] in self.commands:
            return [*args[:place], ADDRESS, *args[place:]]
        return args

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, the address among them."""
        return super().parse_args(ctx, self.with_address(args))


@dataclass(frozen=True)
class Engine:
    """The engine that commands are sent to.

    Attributes:
        address: Address of its control socket.
        keys: Keys for an engine on another machine.
    """

    address: str
    keys: Keys | None

    def ask(self, command: str, **arguments: Any) -> Any:
        """Send a command, without the arguments that are None; returns the result."""
        from auricle.wire.client import request

        given = {name: value for name, value in arguments.items() if value is not None}
        return request(self.address, command, keys=self.keys, **given)


@click.group(
    cls=ControlGroup,
    epilog="""\b
Examples:
  auricle control list
  auricle control add-head heads/mood
  auricle control tcp://127.0.0.1:6682 add-stream fip http://radio.example/fip.mp3
  auricle control call smoothing window_s=4
  auricle control --key my.key_secret --server-key studio.key tcp://studio:5682 list""",
)
@click.argument("address", metavar="[ADDRESS]")
@key_options
@click.pass_context
def control(ctx: click.Context, address: str, key: str | None, server_key: str | None) -> None:
    """Query and control a running engine.

    ADDRESS is that of its control socket, by default tcp://127.0.0.1:5682 as in the graphs that
    come with Auricle. Answers are printed as JSON.
    """
    ctx.obj = Engine(address, parse_keys(key, server_key))


@control.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on a terminal, too.")
@click.pass_obj
def list_streams(engine: Engine, as_json: bool) -> None:
    """List the streams and their states.

    Prints a table on a terminal, JSON elsewhere: state, seconds of audio heard, counts of lost and
    skipped audio by reason, and the error if there is one.
    """
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
    """Describe a stream or all streams.

    Prints labels, models, segments (in frames and seconds), settings and commands of STREAM, or of
    all streams.
    """
    _print(engine.ask("describe", stream=stream))


@control.command()
@click.argument("stream", required=False)
@click.pass_obj
def statistics(engine: Engine, stream: str | None) -> None:
    """Show counts and latencies of a stream or all streams.

    Prints what every node of STREAM, or of all streams, has counted, and latencies in seconds.
    """
    _print(engine.ask("statistics", stream=stream))


@control.command()
@click.argument("stream", required=False)
@click.pass_obj
def stop(engine: Engine, stream: str | None) -> None:
    """Stop a stream or all streams.

    Stops STREAM, or all streams. They stay in the list.
    """
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
    help="Change a parameter for this stream; VALUE is YAML. May be repeated.",
)
@click.pass_obj
def add_stream(engine: Engine, stream: str, source: str, settings: tuple[str, ...]) -> None:
    """Run the graph for another stream.

    STREAM is its name. INPUT is its source: a file, a URL, mic:NAME, or zmq:ADDRESS. A stream that
    has ended can be added again.
    """
    values = parse_settings(settings)
    _print(engine.ask("add-stream", stream=stream, input=_absolute(source), values=values))


@control.command()
@click.argument("stream")
@click.pass_obj
def remove_stream(engine: Engine, stream: str) -> None:
    """Stop a stream, and remove it from the list."""
    _print(engine.ask("remove-stream", stream=stream))


@control.command("reload")
@click.pass_obj
def reload_list(engine: Engine) -> None:
    """Read the list of streams again: start those that are new, stop those that are gone."""
    _print(engine.ask("reload"))


@control.command()
@click.argument("head")
@click.option("--stream", metavar="NAME", help=f"Add it to this stream only.  {ALL_STREAMS}")
@click.pass_obj
def add_head(engine: Engine, head: str, stream: str | None) -> None:
    """Add a head to running streams.

    HEAD is the name of an installed head, or the folder of one.
    """
    _print(engine.ask("add-head", head=_absolute(head), stream=stream))


@control.command()
@click.argument("head")
@click.option("--stream", metavar="NAME", help=f"Remove it from this stream only.  {ALL_STREAMS}")
@click.pass_obj
def remove_head(engine: Engine, head: str, stream: str | None) -> None:
    """Remove a head from running streams.

    HEAD is its name.
    """
    _print(engine.ask("remove-head", head=head, stream=stream))


@control.command(
    epilog="""\b
Examples:
  auricle control tcp://127.0.0.1:5682 patchout t3-f3
  auricle control tcp://127.0.0.1:5682 patchout --keep-every 3 --drop-row 0 --drop-row 8
  auricle control tcp://127.0.0.1:5682 patchout --adaptive --stream mic"""
)
@click.argument("level", required=False)
@click.option(
    "--keep-every",
    type=click.IntRange(1),
    metavar="N",
    help="Keep every N-th column of patches (time).  [default: 1]",
)
@click.option(
    "--drop-row",
    "rows",
    type=click.IntRange(0),
    multiple=True,
    metavar="ROW",
    help="Leave out a row of patches (frequency), from 0. May be repeated.",
)
@click.option(
    "--adaptive/--fixed",
    default=None,
    help="Use cheaper levels when time runs short, or stay at one.  [default: unchanged]",
)
@click.option("--stream", metavar="NAME", help=f"Change this stream only.  {ALL_STREAMS}")
@click.pass_obj
def patchout(
    engine: Engine,
    level: str | None,
    keep_every: int | None,
    rows: tuple[int, ...],
    adaptive: bool | None,
    stream: str | None,
) -> None:
    """Change the patchout of a transformer.

    LEVEL is one of the levels in the model's card; --keep-every and --drop-row choose any other set
    of patches.
    """
    own = {"keep_every": keep_every or 1, "drop_rows": list(rows)} if keep_every or rows else None
    if level and own:
        raise click.UsageError("give a LEVEL, or --keep-every and --drop-row, not both")
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
    """Send any command.

    COMMAND is one of those that `describe` lists, with arguments whose values are YAML.
    """
    given = parse_settings(arguments, form="NAME=VALUE", option="call")
    _print(engine.ask(command, **given))


def _absolute(name: str) -> str:
    """The absolute path of a file or folder, since the engine may run in another folder."""
    return str(Path(name).absolute()) if Path(name).exists() else name


def _print(answer: Any) -> None:
    say(json.dumps(answer, indent=2))
