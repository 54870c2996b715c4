"""`auricle bench`: measurements that anyone can repeat."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auricle.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from bench.report import Report

Measure = Callable[..., "Report"]
"""A subcommand's body: takes its options, `runs` and `progress`, and returns what it found."""


@click.group()
def bench() -> None:
    """Measure speed, and where the time goes.

    Every measurement prints a table with speed and error, and the targets beside what was seen.
    """


def measurement(
    example: str, runs: int | None, plot: str = ""
) -> Callable[[Measure], click.Command]:
    """Makes a subcommand of a function: adds the options that all have, and shows the report.

    Args:
        example: Command line for the help.
        runs: Default of `--runs`; None for what is measured once, over a long time.
        plot: Name of the function of `bench.drawings` that draws the report; none without.
    """

    def decorate(body: Measure) -> click.Command:
        @functools.wraps(body)
        def command(
            as_json: bool, save: bool, results: Path | None, draw: bool = False, **options: Any
        ) -> None:
            from bench import drawings, plots
            from bench.report import results_folder

            if draw:
                plots.check()
            report = body(progress=_show_progress, **options)
            _show_progress("")
            click.echo(json.dumps(report.as_dict()) if as_json else report.text())
            folder = results or results_folder()
            if save or results:
                click.echo(f"written: {report.save(folder)}", err=True)
            if draw:
                click.echo(f"written: {getattr(drawings, plot)(report, folder)}", err=True)
            if report.wrong:
                from auricle.errors import AuricleError

                raise AuricleError(
                    "; ".join(f"wrong numbers: {_seen(target)}" for target in report.wrong)
                )

        options = [
            click.option(
                "--json", "as_json", is_flag=True, help="One JSON object instead of a table."
            ),
            click.option(
                "--save", is_flag=True, help="Write the JSON into bench/results of the checkout."
            ),
            click.option(
                "--results", type=click.Path(path_type=Path), help="Write it into this folder."
            ),
        ]
        if runs is not None:
            rounds = click.IntRange(1)
            options.insert(
                0,
                click.option(
                    "--runs", type=rounds, default=runs, show_default=True, help="Measured rounds."
                ),
            )
        if plot:
            options.append(
                click.option("--plot", "draw", is_flag=True, help="Draw a PNG beside the JSON.")
            )
        for option in options[::-1]:
            command = option(command)
        return bench.command(epilog=f"Example: {example}")(command)

    return decorate


@bench.command(epilog="Example: auricle bench figures README.md docs/bench.md")
@click.argument("pages", type=click.Path(exists=True, path_type=Path), nargs=-1, metavar="FILE...")
@click.option("--table", "name", default="short", show_default=True, help="Table to print.")
def figures(pages: tuple[Path, ...], name: str) -> None:
    """Print the figures that the pages quote, or write them into pages.

    Without FILE a table is printed as Markdown. In a FILE, whatever stands between the comments
    <!-- figures NAME --> and <!-- /figures --> becomes the table of that name.
    """
    from bench.figures import lines_of, table, updated
    from bench.quoted import TABLES
    from bench.report import results_folder

    if not pages:
        click.echo(table(lines_of(TABLES, name), results_folder()))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        page.write_text(updated(text, TABLES, results_folder()), encoding="utf-8")


def _seen(target: Any) -> str:
    return f"{target.what} is {target.seen:.2g}, at most {target.at_most:g} is allowed"


def _show_progress(line: str) -> None:
    """Shows how far it is, where someone is looking; an empty line takes it away."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()


_model = click.option(
    "--model", default="musicnn-mtt", show_default=True, help="Model by name, or its folder."
)
_threads = click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Threads of one inference.",
)
_cores = click.option("--cores", help="Cores for all contenders, as in 0,1.  [default: the first]")
_environment = click.option(
    "--environment",
    type=click.Path(path_type=Path),
    help="Virtual environment that `make peers` made.  [default: $AURICLE_PEERS, or .venv-peers]",
)
_file = click.argument("file", type=click.Path(path_type=Path), required=False)


def _seconds(default: float) -> Callable[[Measure], Measure]:
    option: Callable[[Measure], Measure] = click.option(
        "--seconds",
        type=click.FloatRange(5),
        default=default,
        show_default=True,
        help="Length of the clip that is made where no FILE is named.",
    )
    return option


def _hops(*default: int) -> Callable[[Measure], Measure]:
    option: Callable[[Measure], Measure] = click.option(
        "--hop-frames",
        "hops",
        type=click.IntRange(1),
        multiple=True,
        default=default,
        show_default=True,
        help="Frames from one segment to the next; may be repeated.",
    )
    return option


@measurement("auricle bench ring --runs 5", runs=5)
@click.option(
    "--window",
    "window_s",
    type=click.FloatRange(0.1),
    default=30.0,
    show_default=True,
    help="Seconds.",
)
def ring(**options: Any) -> Report:
    """Rings against np.roll: write 20 ms, read a window."""
    from bench.measures.ring import measure

    return measure(**options)


@measurement("auricle bench mel --cores 0", runs=5)
@_cores
@_environment
def mel(**options: Any) -> Report:
    """Mel frames against NumPy and Essentia."""
    from bench.measures.mel import measure

    return measure(**options)


@measurement("auricle bench backbone --hop-frames 16 --hop-frames 93", runs=3, plot="backbone")
@_model
@_hops(16, 31, 93, 187)
def backbone(**options: Any) -> Report:
    """One segment in ONNX Runtime, and by hop."""
    from bench.measures.backbone import measure

    return measure(**options)


@measurement("auricle bench heads --heads 50", runs=5)
@_model
@click.option(
    "--heads", "count", type=click.IntRange(1), default=50, show_default=True, help="How many."
)
@click.option(
    "--hop-frames", "hop_size", type=click.IntRange(1), help="The model card's, if left out."
)
def heads(**options: Any) -> Report:
    """What shallow heads add to a backbone."""
    from bench.measures.heads import measure

    return measure(**options)


@measurement("auricle bench student", runs=5)
@click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, help="An installed model, or its folder."
)
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    default=("musicnn-mtt", "musicnn-msd"),
    help="Likewise; several.",
)
def student(**options: Any) -> Report:
    """A student against its teachers."""
    from bench.measures.student import measure

    return measure(**options)


@measurement("auricle bench pipeline song.flac --threads 1 --json", runs=3)
@_file
@_seconds(240)
@_model
@click.option(
    "--hop-frames", "hop_size", type=click.IntRange(1), help="The model card's, if left out."
)
@_threads
def pipeline(file: Path | None, seconds: float, **options: Any) -> Report:
    """A file through the whole graph, part by part.

    Without FILE it is the demo clip, repeated.
    """
    from bench.audio import clip
    from bench.measures.pipeline import measure

    with clip(file, seconds) as path:
        return measure(path, **options)


@measurement("auricle bench wire --plot", runs=3, plot="wire")
@click.option(
    "--messages",
    type=click.IntRange(10),
    default=1000,
    show_default=True,
    help="Of a run for latency.",
)
@click.option(
    "--burst",
    type=click.IntRange(10),
    default=20000,
    show_default=True,
    help="Messages at full speed.",
)
def wire(**options: Any) -> Report:
    """Latency and throughput to a subscriber."""
    from bench.measures.wire import measure

    return measure(**options)


_hop = click.option(
    "--hop-frames", "hop_size", type=click.IntRange(1), help="The model card's, if left out."
)


@measurement("auricle bench latency --hop-frames 93 --plot", runs=3, plot="latency")
@_model
@_hops(93, 16)
@click.option(
    "--seconds", type=click.FloatRange(5), default=30.0, show_default=True, help="Of sound."
)
@click.option(
    "--block-ms",
    type=click.FloatRange(1, 1000),
    default=20.0,
    show_default=True,
    help="Of a block.",
)
def latency(**options: Any) -> Report:
    """From the last sample to a subscriber."""
    from bench.measures.latency import measure

    return measure(**options)


@measurement("auricle bench streams --plot", runs=3, plot="streams")
@_model
@_hop
@click.option(
    "--streams",
    type=click.IntRange(1),
    multiple=True,
    help="How many; may be repeated.  [default: parts of what raw inference allows]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1),
    default=20.0,
    show_default=True,
    help="Measured at each number.",
)
def streams(**options: Any) -> Report:
    """How many streams one machine holds in real time."""
    from bench.measures.streams import measure

    return measure(**options)


@measurement("auricle bench overload --load 2 --plot", runs=None, plot="overload")
@_model
@_hop
@click.option(
    "--load",
    type=click.FloatRange(0.1),
    default=2.0,
    show_default=True,
    help="Streams, as a multiple of what raw inference allows.",
)
@click.option(
    "--seconds", type=click.FloatRange(5), default=300.0, show_default=True, help="Under load."
)
def overload(**options: Any) -> Report:
    """More streams than can be served."""
    from bench.measures.overload import measure

    return measure(**options)


@measurement("auricle bench soak --hours 24 --plot", runs=None, plot="soak")
@_model
@_hop
@click.option(
    "--hours", type=click.FloatRange(0.01), default=24.0, show_default=True, help="Of stream time."
)
def soak(**options: Any) -> Report:
    """A day of one stream at full speed."""
    from bench.measures.soak import measure

    return measure(**options)


@measurement("auricle bench patchout --plot", runs=3, plot="patchout")
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Exports of one transformer; the others are compared with the first.  [default: MAEST-30s to block "
    "7, fp32 and int8, with random weights, made with torch]",
)
@click.option(
    "--efficientnet", help="What hears the same seconds at half overlap.  [default: likewise]"
)
@click.option(
    "--live",
    "live_s",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Seconds of each run in real time; 0 for none.",
)
def patchout(models: tuple[str, ...], efficientnet: str | None, **options: Any) -> Report:
    """Leaving patches of a transformer out: speed and closeness."""
    from bench.measures.patchout import measure

    if models:
        return measure(models, efficientnet, **options)
    from bench.untrained import NOTE, efficientnet_b0, maest_30s

    timed, labelled = (
        [str(maest_30s(precision, labelled=labels)) for precision in ("fp32", "int8")]
        for labels in (False, True)
    )
    report = measure(timed, efficientnet or str(efficientnet_b0()), labelled=labelled, **options)
    report.notes.append(NOTE)
    return report


@measurement("auricle bench gpu --provider cuda --batch 1 --batch 16", runs=3)
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Exports of one network; the others are compared with the first.  [default: MAEST-30s to block 7, "
    "fp32 and fp16, with random weights, made with torch]",
)
@click.option(
    "--provider",
    "providers",
    multiple=True,
    default=("cuda", "tensorrt", "torch-tensorrt"),
    show_default=True,
    help="What runs them; may be repeated.",
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1, 1024),
    multiple=True,
    default=(1, 4, 16, 64),
    show_default=True,
    help="Segments at once; may be repeated.",
)
@click.option(
    "--level", "levels", multiple=True, help="Of patchout; may be repeated.  [default: the card's]"
)
def gpu(models: tuple[str, ...], **options: Any) -> Report:
    """Batches on a GPU, by provider and patchout level.

    With TensorRT and torch-tensorrt every shape is compiled the first time, which takes minutes.
    """
    from bench.measures.gpu import check, measure

    check(options["providers"])
    if not models:
        from bench.untrained import maest_30s

        models = tuple(str(maest_30s(precision, program=True)) for precision in ("fp32", "fp16"))
    return measure(models, **options)


@measurement("auricle bench pairs --tracks 100000", runs=3)
@click.option(
    "--tracks",
    type=click.IntRange(1),
    default=3_300_000,
    show_default=True,
    help="Of the catalogue.",
)
def pairs(**options: Any) -> Report:
    """Pairs of tracks for an epoch of training, from made-up metadata."""
    from bench.measures.pairs import measure

    return measure(**options)


@measurement("auricle bench peers --cores 0 --hop-frames 93", runs=3, plot="peers")
@_file
@_seconds(60)
@_model
@_hops(93, 16)
@_cores
@_environment
def peers(file: Path | None, seconds: float, **options: Any) -> Report:
    """Essentia and librosa against Auricle.

    Essentia-TensorFlow, librosa with ONNX Runtime and Auricle tag the same file with the same
    weights on the same cores, in turn, and have to agree. Without FILE it is the demo clip,
    repeated. `make peers` installs them.
    """
    from bench.audio import clip
    from bench.measures.peers import measure
    from bench.workers import peers_python

    peers_python(options["environment"])
    with clip(file, seconds) as path:
        return measure(path, **options)


@measurement("auricle bench against v0.1 pipeline latency --pairs 3", runs=None)
@click.argument("revision")
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option(
    "--pairs",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Runs of each bench with each of the two trees.",
)
def against(names: tuple[str, ...], **options: Any) -> Report:
    """An older revision against this tree, bench by bench.

    REVISION is checked out into a temporary folder. Each bench NAME (pipeline, latency and streams,
    if none is given) runs alternately there and here; the ratios are those within pairs of runs.
    Outputs of both trees have to be the same to the bit.
    """
    from bench.against import NAMES, measure

    return measure(names=names or NAMES, **options)
