"""The command line: its subcommands and its exit codes.

Exit codes: 0, success; 1, a failure, described in one line on standard error; 2, an invalid command
line, graph or parameter; 3, the work was done but some of the input was missing; 130, interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from auricle import __version__
from auricle.cli.group import LazyGroup

COMMANDS = {
    "bench": "Measure speed and find out where the time goes.",
    "control": "Query and control a running engine.",
    "devices": "List the sound devices to listen to.",
    "graph": "List, check, show and copy graph files.",
    "keys": "Make keys for other machines, and say who may connect.",
    "listen": "Show live what an engine publishes.",
    "models": "List, download, check and export models.",
    "run": "Run a graph, and publish live what it hears.",
    "tag": "Tag audio files.",
}

SOURCE = Path(__file__).resolve().parents[2]

# `auricle bench` is part of the source tree, and is not installed.
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
    epilog="""\b
Try:
  auricle tag song.mp3
  auricle run demo
  auricle listen tcp://127.0.0.1:5680""",
)
@click.version_option(__version__, prog_name="auricle", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Log everything, and show tracebacks of errors.")
@click.option("--log-json", is_flag=True, help="Log JSON Lines, for programs that collect logs.")
def cli(debug: bool, log_json: bool) -> None:
    """Listen to audio streams, and report live what is heard."""
