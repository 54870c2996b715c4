"""`auricle-train heads`: a shallow head on stored embeddings, tested and written."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auricle.training.commands import INCOMPLETE
from auricle.training.commands.options import TaskOptions, task_options

if TYPE_CHECKING:
    from auricle.training.data.outputs import Outputs
    from auricle.training.data.tasks import Task
    from auricle.training.evaluation.comparison import Result, Scores
    from auricle.training.evaluation.folds import Fold
    from auricle.training.evaluation.probe import Probe


@click.command(
    epilog="""\b
Examples:
  auricle-train heads outputs/student corpus.parquet --task genres --out graphs/heads/genres
  auricle-train heads outputs/student corpus.parquet --task vocal \\
      --teacher outputs/musicnn-mtt --teacher outputs/musicnn-msd --out graphs/heads/vocal
  auricle-train heads outputs/student corpus.parquet --task moods.csv --folds 0 --out moods

\b
A task file is CSV with the columns track_id,classes,split and | between classes, or JSON:
  {"name": "mood", "multilabel": true, "tracks": {"ID": ["happy"]}, "splits": {"ID": "train"}}
Without splits the task is tested in folds, or in the parts of the manifest."""
)
@click.argument("outputs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--task",
    required=True,
    metavar="TASK",
    help="genres, artists, vocal, electronic, energy, or a file.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the head.")
@click.option(
    "--name", help="Name of the head, in the topics of its predictions.  [default: the folder's]"
)
@click.option(
    "--folds",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="Number of tests on artists that were not trained with; 0: one, with the parts of the "
    "manifest or file.",
)
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="Heads per fold."
)
@task_options
@click.option("--licence", default="", help="SPDX identifier, for the card.")
@click.pass_context
def heads(
    ctx: click.Context,
    /,
    outputs: Path,
    manifest: Path,
    task: str,
    out: Path,
    name: str | None,
    folds: int,
    seeds: int,
    licence: str,
    task_options: TaskOptions,
) -> None:
    """Train a head on the embeddings in OUTPUTS for the tracks of MANIFEST.

    The head is first tested on held-out tracks. The one that is written is then trained on all
    tracks except those that choose its weights; with --folds 0, on the training part only.
    Exit code 3: done, but without some tracks of the manifest.
    """
    from auricle.names import NAME
    from auricle.training.data.manifest import Manifest
    from auricle.training.data.outputs import Outputs
    from auricle.training.evaluation.comparison import class_results, results_of
    from auricle.training.evaluation.folds import Fold
    from auricle.training.evaluation.head_export import save_probe
    from auricle.training.evaluation.material import folds_of, tracks_of_all

    name = name or out.name
    if not re.fullmatch(NAME, name):
        raise click.UsageError(f"--name: {name!r} must be letters, digits and _.:- only")
    corpus, stored = Manifest.load(manifest), Outputs(outputs)
    track_ids, lacking = tracks_of_all([stored], corpus)
    (made,) = task_options.make_tasks([task], corpus, track_ids).values()
    tests = folds_of(task, made, corpus, folds)
    # Unless the parts are fixed, the test tracks of the first fold are trained on, too.
    last = Fold(tests[0].train + tests[0].test * bool(folds), tests[0].validation, ())
    runs, final = _train(name, made, stored, tests, last, seeds, task_options)
    results, by_class = results_of(made, name, runs), class_results(made, name, runs)
    save_probe(out, final, made, stored.card, results, by_class, name=name, licence=licence)
    _report(made, results, by_class, len(runs))
    click.echo(f"\n{name}: {out}")
    for line in (*lacking, *_left_out(results[0].left_out, len(runs))):
        click.echo(line, err=True)
    if lacking:
        ctx.exit(INCOMPLETE)


def _train(
    name: str,
    task: Task,
    stored: Outputs,
    tests: Sequence[Fold],
    last: Fold,
    seeds: int,
    options: TaskOptions,
) -> tuple[list[Scores], Probe]:
    """The figures of heads that are tested, and the head that is written, trained on `last`."""
    from rich.console import Console
    from rich.progress import Progress

    from auricle.training.evaluation import comparison

    protocols = options.protocols()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(f"{name}: heads", total=len(tests) * seeds + 1)
        advance = functools.partial(progress.advance, bar)
        runs = comparison.heads(
            task, [stored.embeddings], tests, protocols, seeds=seeds, advance=advance
        )
        return list(runs), comparison.best_probe(stored.embeddings, task, last, protocols)


def _report(
    task: Task, results: Sequence[Result], by_class: Mapping[str, Result], runs: int
) -> None:
    from auricle.training.evaluation.report import TITLES, figure

    click.echo(f"{len(task.targets)} tracks, {len(task.classes)} classes, {runs} runs")
    for result in results:
        click.echo(f"{TITLES[result.metric]:<20} {figure(result)}")
    _show_classes(task, by_class)


def _show_classes(task: Task, results: Mapping[str, Result]) -> None:
    from auricle.training.evaluation.report import figure

    width = max(map(len, task.classes))
    click.echo(
        f"\n{'class':<{width}}  tracks  {'average precision' if task.multilabel else 'recall'}"
    )
    counts = task.matrix(list(task.targets)).sum(axis=0)
    for name, count in zip(task.classes, counts, strict=True):
        click.echo(
            f"{name:<{width}}  {count:>6}  {figure(results[name]) if name in results else '-'}"
        )


def _left_out(classes: tuple[str, ...], runs: int) -> list[str]:
    if not classes:
        return []
    why = "they lack positives, or negatives, in training or test"
    return [
        f"left out of the means of one of {runs} runs or more, because {why}: {', '.join(classes)}"
    ]
