"""The command line: its subcommands and its exit codes.

Exit codes: 0 all went well; 1 something failed, one line on standard error says what and where; 2
the command line, a graph or a parameter cannot be used; 3 the work was done but some of the input
is missing; 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from auricle import __version__
from auricle.cli.group import LazyGroup

COMMANDS = {
    "bench": "Measure speed, and where the time goes.",
    "control": "Ask a running engine, or tell it what to do.",
    "devices": "List microphones and line-ins.",
    "graph": "Find, check and look at graph files, or start one of your own.",
    "listen": "Show what an engine publishes, live.",
    "models": "List, get and check models.",
    "run": "Run a graph: hear, tag, publish.",
    "tag": "Tag audio files.",
}

SOURCE = Path(__file__).resolve().parents[2]

# `auricle bench` is part of a source tree and not installed.
if (SOURCE / "bench").is_dir():
    sys.path.append(str(SOURCE))
else:
    del COMMANDS["bench"]


@click.group(
    "auricle",
    cls=LazyGroup,
    package="auricle.cli",
    table=COMMANDS,
    elsewhere={"bench": "bench.command"},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try: auricle tag song.mp3, auricle run demo, auricle listen tcp://127.0.0.1:5680",
)
@click.version_option(__version__, prog_name="auricle", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show tracebacks and log everything that happens.")
def cli(debug: bool) -> None:
    """Auricle listens to audio streams and says what it hears while it hears it."""
