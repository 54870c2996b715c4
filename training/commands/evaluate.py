"""`auricle-train evaluate`: models side by side, on the same tracks, heads and retrieval."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auricle.errors import TrainingError
from auricle.training.commands import INCOMPLETE
from auricle.training.commands.options import task_options

if TYPE_CHECKING:
    from rich.progress import Progress

    from auricle.training.data.manifest import Track
    from auricle.training.data.tasks import Task
    from auricle.training.evaluation.comparison import Result
    from auricle.training.evaluation.folds import Fold
    from auricle.training.evaluation.material import Contender
    from auricle.training.evaluation.probe import Protocol

SEEDS = """Heads a fold. With one fold, and one training of each model, deviations are those of the heads'
seeds alone: differences between models may be chance beyond them."""

RETRIEVAL = ("artist-retrieval", "release-retrieval")


@click.command(
    epilog="""\b
Examples:
  auricle-train evaluate corpus.parquet outputs/artist outputs/style --out results
  auricle-train evaluate corpus.parquet artist=artist-1,artist-2,artist-3 random=rw-1,rw-2,rw-3 \\
      --tasks genres,artist-retrieval --seeds 1 --out results
  auricle-train evaluate corpus.parquet outputs/a outputs/b --stack --pca 256 --learning-curve \\
      --out results"""
)
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("outputs", nargs=-1, required=True, metavar="[NAME=]OUTPUTS[,OUTPUTS]...")
@click.option(
    "--tasks",
    default="genres,artist-retrieval,release-retrieval",
    show_default=True,
    help="Any of genres, artists, vocal, electronic, energy, artist-retrieval, release-retrieval and task "
    "files (see heads).",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of results.",
)
@click.option(
    "--folds",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Tests of heads without common artists; 0: one, in the parts of the manifest or task file. Models "
    "that were trained on artists of this corpus know those of other folds: leave it 0 for them, or make "
    "folds of --part test.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help=SEEDS)
@click.option(
    "--part",
    type=click.Choice(["train", "validation", "test", "all"]),
    help="Of the manifest, in which retrieval searches, and of which folds are made.  [default: test for "
    "retrieval, all for folds]",
)
@click.option(
    "--same-release",
    is_flag=True,
    help="Let artist retrieval find songs of the query's own release. They share its mastering, which is "
    "easier to hear than an artist, so they are kept out unless this is given.",
)
@click.option("--stack", is_flag=True, help="Also all models' embeddings side by side.")
@click.option(
    "--pca", type=click.IntRange(1), metavar="SIZE", help="Reduce the stack for heads to this size."
)
@click.option(
    "--learning-curve", is_flag=True, help="Also heads on 1, 5, 10 and 30 tracks a class."
)
@task_options
@click.pass_context
def evaluate(
    ctx: click.Context,
    manifest: Path,
    outputs: tuple[str, ...],
    tasks: str,
    out: Path,
    protocol: str,
    grid: bool,
    folds: int,
    seeds: int,
    part: str | None,
    same_release: bool,
    stack: bool,
    pca: int | None,
    learning_curve: bool,
    min_tracks: int,
    min_artists: int,
    teachers: tuple[Path, ...],
    margin: float,
) -> None:
    """Compare models by their OUTPUTS for the tracks of MANIFEST.

    Several OUTPUTS with commas between are one model, trained from several seeds: its figures are
    means over them. Writes results.md, results.json and plots. Exit code 3: done, but without
    tracks that a model lacks.
    """
    from auricle.training.data.manifest import Manifest
    from auricle.training.data.manifest_tasks import only
    from auricle.training.data.outputs import Outputs
    from auricle.training.evaluation.material import (
        STACK,
        Options,
        contenders,
        folds_of,
        heard,
        named_task,
    )
    from auricle.training.evaluation.probe import protocols_of

    if pca is not None and not stack:
        raise click.UsageError("--pca reduces the stack; give --stack too")
    corpus = Manifest.load(manifest)
    groups = [
        (name, [Outputs(folder) for folder in folders]) for name, folders in map(_parsed, outputs)
    ]
    models = contenders(groups, stack)
    ids, lacking = heard([output for _, trainings in groups for output in trainings], corpus)
    kept = set(ids)
    options = Options(min_tracks, min_artists, [Outputs(folder) for folder in teachers], margin)
    names = [name for name in tasks.split(",") if name]
    # All are made before the first is run: a mistake in the last should not cost an hour.
    found = [track for track in corpus if track.track_id in kept]
    searched = [track for track in found if (part or "test") in ("all", track.part)]
    if not searched and set(names) & set(RETRIEVAL):
        where = f"{manifest}: no track in the part {part or 'test'!r} has embeddings by all models"
        raise TrainingError(f"{where}; choose another --part")
    told = [track.track_id for track in (searched if folds and part else found)]
    made = {
        name: only(named_task(name, corpus, options), told)
        for name in names
        if name not in RETRIEVAL
    }
    tests = {name: folds_of(name, task, corpus, folds) for name, task in made.items()}
    protocols = protocols_of(protocol, grid)
    results: list[Result] = []
    with _progress() as progress:
        for name, model in itertools.product(names, models):
            bar = progress.add_task(f"{name}: {model.name}", total=None)
            if name in RETRIEVAL:
                results += _retrieval(name, model, searched, same_release)
            else:
                results += _heads(
                    made[name],
                    model,
                    tests[name],
                    protocols,
                    seeds=seeds,
                    pca=pca if model.name == STACK else None,
                    curve=learning_curve,
                    tell=functools.partial(progress.advance, bar),
                )
            progress.remove_task(bar)
    click.echo(_written(results, out))
    for line in lacking:
        click.echo(line, err=True)
    if lacking:
        ctx.exit(INCOMPLETE)


def _heads(
    task: Task,
    model: Contender,
    tests: Sequence[Fold],
    protocols: Sequence[Protocol],
    *,
    seeds: int,
    pca: int | None,
    curve: bool,
    tell: Callable[[], None],
) -> list[Result]:
    from auricle.training.evaluation import comparison as evaluation

    runs = evaluation.heads(
        task, model.trainings, tests, protocols, seeds=seeds, pca=pca, tell=tell
    )
    results = evaluation.results_of(task, model.name, list(runs))
    if curve:
        results += evaluation.learning_curve(
            task, model.trainings, tests, protocols, model=model.name, tell=tell
        )
    return results


def _retrieval(
    name: str, model: Contender, tracks: Sequence[Track], same_release: bool
) -> list[Result]:
    from auricle.training.evaluation.comparison import retrieval_results

    ids = [track.track_id for track in tracks]
    releases = {track.track_id: track.releases for track in tracks}
    if name == "release-retrieval":
        return retrieval_results(name, model.name, model.trainings, ids, releases)
    artists = {track.track_id: track.artists for track in tracks}
    barred = None if same_release else releases
    return retrieval_results(name, model.name, model.trainings, ids, artists, barred)


def _written(results: Sequence[Result], out: Path) -> str:
    """Write results; returns their table. Raises OSError."""
    from auricle.models.files import write_atomically
    from auricle.training.evaluation import report

    out.mkdir(parents=True, exist_ok=True)
    table = report.markdown(results)
    write_atomically(out / "results.md", table.encode())
    write_atomically(out / "results.json", report.as_json(results).encode())
    report.bar_plot([result for result in results if result.examples is None], out / "results.png")
    curves = [result for result in results if result.examples is not None]
    if curves:
        report.curve_plot(curves, out / "learning-curves.png")
    return table


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _parsed(argument: str) -> tuple[str, list[Path]]:
    """Name and folders of one argument."""
    name, equals, folders = argument.rpartition("=")
    paths = [Path(folder) for folder in folders.split(",") if folder]
    if not paths or (equals and not name):
        raise click.UsageError(f"{argument!r} must be [NAME=]OUTPUTS[,OUTPUTS]...")
    return name or paths[0].name, paths
