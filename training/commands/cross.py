"""`auricle-train cross`: heads trained on one collection, tested on another."""

from __future__ import annotations

from pathlib import Path

import click

from auricle.errors import TrainingError


@click.command(
    epilog="""\b
Example:
  auricle-train cross said/gtzan gtzan.json said/fma fma.json --same Rock=rock \\
      --same Hip-Hop=hiphop"""
)
@click.argument("outputs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("task", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("other_outputs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("other_task", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--same",
    multiple=True,
    metavar="OTHER=CLASS",
    help="A class of the second task and the one of the first that means the same.  "
    "[default: those of the same name]",
)
@click.option(
    "--protocol",
    type=click.Choice(["thesis", "cola", "maest"]),
    default="thesis",
    show_default=True,
)
@click.option(
    "--seeds", type=click.IntRange(1), default=3, show_default=True, help="Number of heads."
)
def cross(
    outputs: Path,
    task: Path,
    other_outputs: Path,
    other_task: Path,
    same: tuple[str, ...],
    protocol: str,
    seeds: int,
) -> None:
    """Train heads on the embeddings of one collection, and test them on those of another.

    OUTPUTS are those of one model for each collection. Tasks are files written by auricle-train
    dataset.
    """
    from auricle.training.data.outputs import Outputs
    from auricle.training.data.task_files import load_task
    from auricle.training.evaluation.comparison import cross_collection, results_of
    from auricle.training.evaluation.probe import protocols_of
    from auricle.training.evaluation.report import markdown

    first, second = load_task(task), load_task(other_task)
    model, other_model = Outputs(outputs), Outputs(other_outputs)
    if model.card.name != other_model.card.name:
        raise TrainingError(
            f"{other_outputs}: of {other_model.card.name}, the others of {model.card.name}"
        )
    names = dict(_pair(each) for each in same)
    names = names or {name: name for name in second.classes if name in first.classes}
    if not names:
        raise TrainingError(
            f"{first.name} and {second.name} have no class in common; say which with --same"
        )
    runs = cross_collection(
        first,
        model.embeddings,
        second,
        other_model.embeddings,
        names,
        protocols_of(protocol, grid=False),
        seeds=seeds,
    )
    click.echo(markdown(results_of(second, f"{model.card.name}, trained on {first.name}", runs)))


def _pair(text: str) -> tuple[str, str]:
    other, equals, name = text.partition("=")
    if not equals:
        raise click.UsageError(f"--same {text}: must be OTHER=CLASS")
    return other, name
