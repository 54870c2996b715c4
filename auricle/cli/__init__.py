"""The command line: its subcommands, its exit codes, and how errors are shown.

Exit codes: 0 all went well; 1 something failed, one line on standard error says what and where; 2
the command line, a graph or a parameter cannot be used; 3 the work was done but some of the input
is missing; 130 interrupted.
"""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path
from typing import Any

import click

from auricle import __version__
from auricle.errors import FAILED, INTERRUPTED, AuricleError

COMMANDS = {
    "bench": "Measure speed, and where the time goes.",
    "control": "Ask a running engine, or tell it what to do.",
    "devices": "List microphones and line-ins.",
    "graph": "Check graph files, and look at them.",
    "listen": "Show what an engine publishes, live.",
    "models": "List, get and check models.",
    "run": "Run a graph: hear, tag, publish.",
    "tag": "Tag audio files.",
}

TRAINING_PACKAGES = {"faiss", "lightning", "mutagen", "onnxscript", "pyarrow", "sklearn", "torch"}
"""What the extra `train` brings, as it is imported."""


BENCH = "bench.command"
"""Module of `auricle bench`, which is part of a source tree and not installed."""

SOURCE = Path(__file__).resolve().parents[2]

if (SOURCE / "bench").is_dir():
    sys.path.append(str(SOURCE))
else:
    del COMMANDS["bench"]


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is called, so that help and version are quick.

    Errors of ours end it with one line and an exit code.

    Args:
        package: Where the modules of the subcommands are; each has a command of its own name, with
            `_` where the name has `-`.
        table: The subcommands, each with a line of help.
    """

    def __init__(self, *args: Any, package: str, table: dict[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.package = package
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        name = cmd_name.replace("-", "_")
        place = BENCH if cmd_name == "bench" else f"{self.package}.{name}"
        command = getattr(importlib.import_module(place), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.table.items()))

    def invoke(self, ctx: click.Context) -> Any:
        debug = ctx.params["debug"]
        if debug:
            logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s %(message)s")
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, SystemExit):
            raise
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader of our output has seen enough, as in `auricle tag ... | head`.
            sys.stderr.close()
            sys.exit(FAILED)
        except Exception as error:
            if debug:
                raise
            name = ctx.info_name
            if isinstance(error, ImportError) and (package := error.name) in TRAINING_PACKAGES:
                click.echo(f"{name}: needs {package}: pip install 'auricle[train]'", err=True)
                sys.exit(FAILED)
            if not isinstance(error, AuricleError | OSError):
                click.echo(
                    f"{name}: {type(error).__name__}: {error} (--debug shows where)", err=True
                )
                sys.exit(FAILED)
            click.echo(f"{name}: {' '.join(str(error).split())}", err=True)
            sys.exit(error.exit_code if isinstance(error, AuricleError) else FAILED)


@click.group(
    "auricle",
    cls=LazyGroup,
    package="auricle.cli",
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try: auricle tag song.mp3, auricle run graphs/demo.yaml, auricle listen tcp://127.0.0.1:5680",
)
@click.version_option(__version__, prog_name="auricle", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show tracebacks and log what happens.")
def cli(debug: bool) -> None:
    """Auricle listens to audio streams and says what it hears while it hears it."""
