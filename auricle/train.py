"""The command `auricle-train`; its exit codes are those of `auricle.cli`."""

from __future__ import annotations

import logging

import click

from auricle import __version__
from auricle.cli.group import LazyGroup

COMMANDS = {
    "corpus": "Read tagged music into a manifest.",
    "dataset": "Read a published data set into a manifest and a task.",
    "features": "Compute mel spectrograms of a manifest.",
    "recipes": "List recipes, and show them.",
    "fit": "Train what a recipe describes.",
    "vary": "Make more music for teachers to hear.",
    "teach": "Store what teachers say of a corpus.",
    "heads": "Train shallow heads on embeddings.",
    "agree": "Compare a student with its teachers.",
    "evaluate": "Compare models on tagging and retrieval.",
    "cross": "Train heads on one collection, test them on another.",
    "export": "Make a model folder that the engine runs.",
}


@click.group(
    "auricle-train",
    cls=LazyGroup,
    package="auricle.training.commands",
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try: auricle-train corpus ~/Music",
)
@click.version_option(__version__, prog_name="auricle-train", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show tracebacks and log what happens.")
def cli(debug: bool) -> None:
    """From a folder of tagged music to a model that Auricle runs."""


def main() -> None:
    """Run the command line."""
    logging.captureWarnings(True)
    cli(prog_name="auricle-train")


if __name__ == "__main__":
    main()
