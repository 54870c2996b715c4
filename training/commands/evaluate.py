"""`auricle-train evaluate`: models side by side, on the same tracks, heads and retrieval."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from auricle.errors import TrainingError
from auricle.training.commands import INCOMPLETE
from auricle.training.commands.options import TaskOptions, task_options

if TYPE_CHECKING:
    from rich.progress import Progress

    from auricle.training.data.manifest import Manifest, Track
    from auricle.training.data.outputs import Outputs
    from auricle.training.data.tasks import Task
    from auricle.training.evaluation import probe
    from auricle.training.evaluation.comparison import Result
    from auricle.training.evaluation.folds import Fold
    from auricle.training.evaluation.material import Contender

SEEDS = (
    "Heads per fold. With one fold, and one training of each model, deviations are those of the "
    "heads' seeds alone: differences between models may be chance beyond them."
)

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
    help="Any of genres, artists, vocal, electronic, energy, artist-retrieval, release-retrieval "
    "and task files (see heads).",
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
    help="Number of tests of heads that share no artist; 0: one, with the parts of the manifest or "
    "task file. Models that were trained on artists of this corpus know those of other folds: "
    "leave it 0 for them, or make folds of --part test.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help=SEEDS)
@click.option(
    "--part",
    type=click.Choice(["train", "validation", "test", "all"]),
    help="Part of the manifest that retrieval searches, and that folds are made of.  [default: "
    "test for retrieval, all for folds]",
)
@click.option(
    "--same-release",
    is_flag=True,
    help="Let artist retrieval find songs of the query's own release. They share its mastering, "
    "which is easier to hear than an artist, so they are kept out unless this is given.",
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
    ctx: click.Context, /, manifest: Path, outputs: tuple[str, ...], out: Path, **options: Any
) -> None:
    """Compare models by their OUTPUTS for the tracks of MANIFEST.

    Several OUTPUTS separated by commas are one model trained from several seeds; its figures are
    means over them. Writes results.md, results.json and plots. Exit code 3: done, but without
    tracks that a model lacks.
    """
    from auricle.training.data.manifest import Manifest
    from auricle.training.evaluation.material import contenders, tracks_of_all

    choices = _Choices(**options)
    if choices.pca is not None and not choices.stack:
        raise click.UsageError("--pca reduces the stack; give --stack too")
    corpus = Manifest.load(manifest)
    groups = [_open_outputs(argument) for argument in outputs]
    models = contenders(groups, choices.stack)
    trainings = [output for _, outputs_of_one in groups for output in outputs_of_one]
    track_ids, lacking = tracks_of_all(trainings, corpus)
    # All are made before the first is run: a mistake in the last should not cost an hour.
    measurements = _make_measurements(manifest, corpus, track_ids, choices)
    click.echo(_written(_measured(measurements, models), out))
    for line in lacking:
        click.echo(line, err=True)
    if lacking:
        ctx.exit(INCOMPLETE)


@dataclass(frozen=True, slots=True)
class _Choices:
    """The options of the command that say how models are measured; see its help."""

    tasks: str
    folds: int
    seeds: int
    part: str | None
    same_release: bool
    stack: bool
    pca: int | None
    learning_curve: bool
    task_options: TaskOptions


# -- what is measured ------------------------------------------------------------------------------


class _Measurement(Protocol):
    """Measurements of every model."""

    def __call__(self, model: Contender, advance: Callable[[], None]) -> list[Result]:
        """The results of a model; `advance` is called with each part of the work."""


def _make_measurements(
    manifest: Path, corpus: Manifest, track_ids: Sequence[str], choices: _Choices
) -> dict[str, _Measurement]:
    """The measurements of the chosen tasks, by name of the task."""
    names = [name for name in choices.tasks.split(",") if name]
    part = choices.part or "test"
    tracks, searched = _tracks(corpus, set(track_ids), part)
    if not searched and set(names) & set(RETRIEVAL):
        raise TrainingError(
            f"{manifest}: no track in the part {part!r} has embeddings by all models; choose "
            "another --part"
        )
    probed = searched if choices.folds and choices.part else tracks
    heads = _make_heads([name for name in names if name not in RETRIEVAL], corpus, probed, choices)
    made: dict[str, _Measurement] = {**heads}
    for name in RETRIEVAL:
        made[name] = _Retrieval(name, searched, choices.same_release)
    return {name: made[name] for name in names}


def _tracks(corpus: Manifest, kept: set[str], part: str) -> tuple[list[Track], list[Track]]:
    """The tracks that are kept, and those of them in a part."""
    tracks = [track for track in corpus if track.track_id in kept]
    return tracks, [track for track in tracks if part in ("all", track.part)]


def _make_heads(
    names: Sequence[str], corpus: Manifest, tracks: Sequence[Track], choices: _Choices
) -> dict[str, _Heads]:
    from auricle.training.evaluation.material import folds_of

    track_ids = [track.track_id for track in tracks]
    tasks = choices.task_options.make_tasks(names, corpus, track_ids)
    folds = {name: folds_of(name, task, corpus, choices.folds) for name, task in tasks.items()}
    protocols = choices.task_options.protocols()
    return {name: _Heads(tasks[name], folds[name], protocols, choices) for name in names}


def _measured(
    measurements: Mapping[str, _Measurement], models: Sequence[Contender]
) -> list[Result]:
    results: list[Result] = []
    with _progress() as progress:
        for (name, measure), model in itertools.product(measurements.items(), models):
            bar = progress.add_task(f"{name}: {model.name}", total=None)
            results += measure(model, functools.partial(progress.advance, bar))
            progress.remove_task(bar)
    return results


@dataclass(frozen=True, slots=True)
class _Heads:
    """Heads on a model's embeddings, tested on every fold."""

    task: Task
    folds: Sequence[Fold]
    protocols: Sequence[probe.Protocol]
    choices: _Choices

    def __call__(self, model: Contender, advance: Callable[[], None]) -> list[Result]:
        from auricle.training.evaluation import comparison
        from auricle.training.evaluation.material import STACK

        choices = self.choices
        runs = comparison.heads(
            self.task,
            model.trainings,
            self.folds,
            self.protocols,
            seeds=choices.seeds,
            pca=choices.pca if model.name == STACK else None,
            advance=advance,
        )
        results = comparison.results_of(self.task, model.name, list(runs))
        if choices.learning_curve:
            results += comparison.learning_curve(
                self.task,
                model.trainings,
                self.folds,
                self.protocols,
                model=model.name,
                advance=advance,
            )
        return results


@dataclass(frozen=True, slots=True)
class _Retrieval:
    """Songs by the same artist, or of the same release, found by their embeddings."""

    name: str
    tracks: Sequence[Track]
    same_release: bool

    def __call__(self, model: Contender, advance: Callable[[], None]) -> list[Result]:
        from auricle.training.evaluation.comparison import retrieval_results

        ids = [track.track_id for track in self.tracks]
        releases = {track.track_id: track.releases for track in self.tracks}
        if self.name == "release-retrieval":
            return retrieval_results(self.name, model.name, model.trainings, ids, releases)
        artists = {track.track_id: track.artists for track in self.tracks}
        barred = None if self.same_release else releases
        return retrieval_results(self.name, model.name, model.trainings, ids, artists, barred)


# -- in and out ------------------------------------------------------------------------------------


def _open_outputs(argument: str) -> tuple[str, list[Outputs]]:
    from auricle.training.data.outputs import Outputs

    name, folders = _parsed(argument)
    return name, [Outputs(folder) for folder in folders]


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
    """Name and folders of one argument OUTPUTS."""
    name, equals, folders = argument.rpartition("=")
    paths = [Path(folder) for folder in folders.split(",") if folder]
    if not paths or (equals and not name):
        raise click.UsageError(f"{argument!r} must be [NAME=]OUTPUTS[,OUTPUTS]...")
    return name or paths[0].name, paths
