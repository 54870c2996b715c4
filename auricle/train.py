"""The command `auricle-train`; its exit codes are those of `auricle`."""

from __future__ import annotations

import logging

import click

from auricle import __version__
from auricle.cli.group import LazyGroup

COMMANDS = {
    "corpus": "Read tagged music into a manifest.",
    "dataset": "Read a published data set into a manifest and a task.",
    "features": "Compute mel spectrograms of a manifest.",
    "recipes": "List and show recipes.",
    "fit": "Train the model that a recipe describes.",
    "vary": "Make variations of music for teachers to tag.",
    "teach": "Store the outputs of teachers for a corpus.",
    "heads": "Train shallow heads on embeddings.",
    "agree": "Compare a student with its teachers.",
    "evaluate": "Compare models on tagging and retrieval.",
    "cross": "Train heads on one collection, test them on another.",
    "export": "Export a trained model to a model folder.",
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
@click.option("--debug", is_flag=True, help="Log everything, and show tracebacks of errors.")
def cli(debug: bool) -> None:
    """Turn a folder of tagged music into a model that Auricle runs."""


def main() -> None:
    """Run the command line."""
    logging.captureWarnings(True)
    cli(prog_name="auricle-train")


if __name__ == "__main__":
    main()
