"""`auricle bench`: measurements that anyone can repeat."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auricle.models import DEFAULT_MODEL
from bench import options

if TYPE_CHECKING:
    from bench.report import Report


@click.group()
def bench() -> None:
    """Measure speed and find out where the time goes.

    Every measurement prints a table with speed and error, and the targets beside what was measured.
    Units are in the headings; 5.8 (5.7..6.1) is a median with the lowest and the highest value.
    """


measurement = functools.partial(options.measurement, bench)


# -- parts of a graph ------------------------------------------------------------------------------


@measurement("auricle bench ring --runs 5", runs=5)
@options.number("--window", 30.0, "Length of the window, in seconds.", 0.1, "window_s")
def ring(**arguments: Any) -> Report:
    """Compare the ring buffer with np.roll.

    Both write blocks of 20 ms and read a window after each.
    """
    from bench.measures.ring import measure

    return measure(**arguments)


@measurement("auricle bench mel --cores 0", runs=5, picture=True)
@options.cores
@options.environment
def mel(**arguments: Any) -> Report:
    """Compare mel frames with NumPy and Essentia."""
    from bench.measures.mel import measure

    return measure(**arguments)


@measurement("auricle bench backbone --hop-size 16 --hop-size 93", runs=3, picture=True)
@options.model
@options.hop_sizes(16, 31, 93, 187)
def backbone(**arguments: Any) -> Report:
    """Measure one segment in ONNX Runtime, and the node by hop size."""
    from bench.measures.backbone import measure

    return measure(**arguments)


@measurement("auricle bench heads --heads 50", runs=5, picture=True)
@options.model
@options.number("--heads", 50, "Number of heads.", target="count")
@options.hop_size
def heads(**arguments: Any) -> Report:
    """Measure what shallow heads add to a backbone."""
    from bench.measures.heads import measure

    return measure(**arguments)


@measurement("auricle bench student", runs=5, picture=True)
@click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, help="Name of the student, or its folder."
)
@options.several("--teacher", "teachers", "A model that taught it", "musicnn-mtt", "musicnn-msd")
def student(**arguments: Any) -> Report:
    """Compare a student with its teachers."""
    from bench.measures.student import measure

    return measure(**arguments)


@measurement("auricle bench wire --plot", runs=3, picture=True)
@options.number("--messages", 1000, "Messages per round for latency.", 10)
@options.number("--burst", 20000, "Messages per round at full speed.", 10)
def wire(**arguments: Any) -> Report:
    """Measure latency and throughput to a subscriber."""
    from bench.measures.wire import measure

    return measure(**arguments)


# -- whole graphs ----------------------------------------------------------------------------------


@measurement("auricle bench pipeline song.flac --threads 1 --json", runs=3, picture=True)
@options.file
@options.clip_seconds(240.0)
@options.model
@options.hop_size
@options.number("--threads", 1, "Threads per inference.")
def pipeline(file: Path | None, seconds: float, **arguments: Any) -> Report:
    """Measure a file through the whole graph, part by part.

    Without FILE, the demo clip is repeated to --seconds.
    """
    from bench.audio import clip
    from bench.measures.pipeline import measure

    with clip(file, seconds) as path:
        return measure(path, **arguments)


@measurement("auricle bench latency --hop-size 93 --plot", runs=3, picture=True)
@options.model
@options.hop_sizes(93, 16)
@options.number("--seconds", 30.0, "Seconds of audio per round.", 5.0)
@options.number(
    "--block-ms", 20.0, "Length of a block of audio, in milliseconds.", 1.0, most=1000.0
)
def latency(**arguments: Any) -> Report:
    """Measure the time in ms from the last sample of a segment to a subscriber."""
    from bench.measures.latency import measure

    return measure(**arguments)


@measurement("auricle bench streams --plot", runs=3, picture=True)
@options.model
@options.hop_size
@click.option(
    "--streams",
    type=click.IntRange(1),
    multiple=True,
    help="Number of streams. May be repeated.  [default: shares of what inference alone would do]",
)
@options.number("--seconds", 20.0, "Seconds for which each number is measured.", 1.0)
def streams(**arguments: Any) -> Report:
    """Measure how many streams one machine serves in real time."""
    from bench.measures.streams import measure

    return measure(**arguments)


@measurement("auricle bench overload --load 2 --plot", picture=True)
@options.model
@options.hop_size
@options.number("--load", 2.0, "Streams, as a multiple of what inference alone would do.", 0.1)
@options.number("--seconds", 300.0, "Seconds under load.", 5.0)
def overload(**arguments: Any) -> Report:
    """Run more streams than can be served."""
    from bench.measures.overload import measure

    return measure(**arguments)


@measurement("auricle bench soak --hours 24 --plot", picture=True)
@options.model
@options.hop_size
@options.number("--hours", 24.0, "Hours of audio in the stream.", 0.01)
def soak(**arguments: Any) -> Report:
    """Run one stream for a day of its time, at full speed."""
    from bench.measures.soak import measure

    return measure(**arguments)


# -- transformers, training, other programs --------------------------------------------------------


@measurement("auricle bench patchout --plot", runs=3, picture=True)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="Export of a transformer. May be repeated; others are compared with the first.  "
    "[default: MAEST-30s to block 7, fp32 and int8, with random weights, made with torch]",
)
@click.option(
    "--efficientnet",
    metavar="MODEL",
    help="Convolutional model that hears the same seconds at half overlap.  "
    "[default: EfficientNet-B0 with random weights, made with torch]",
)
@options.number("--live", 60.0, "Seconds of each run in real time; 0 runs none.", 0.0, "live_s")
def patchout(models: tuple[str, ...], efficientnet: str | None, **arguments: Any) -> Report:
    """Measure speed and closeness of patchout levels."""
    from bench.measures.patchout import measure
    from bench.untrained import NOTE, efficientnet_b0, maest_30s

    if models:
        return measure(models, efficientnet, **arguments)
    timed = [str(maest_30s(precision)) for precision in ("fp32", "int8")]
    labelled = [str(maest_30s(precision, labelled=True)) for precision in ("fp32", "int8")]
    beside = efficientnet or str(efficientnet_b0())
    report = measure(timed, beside, labelled=labelled, **arguments)
    report.notes.append(NOTE)
    return report


@measurement("auricle bench gpu --provider cuda --batch 1 --batch 16", runs=3)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="Export of a network. May be repeated; others are compared with the first.  "
    "[default: MAEST-30s to block 7, fp32 and fp16, with random weights, made with torch]",
)
@options.several(
    "--provider", "providers", "Provider that runs them", "cuda", "tensorrt", "torch-tensorrt"
)
@options.several(
    "--batch", "batches", "Segments per batch", 1, 4, 16, 64, kind=click.IntRange(1, 1024)
)
@click.option(
    "--level", "levels", multiple=True, help="Patchout level. May be repeated.  [default: all]"
)
def gpu(models: tuple[str, ...], **arguments: Any) -> Report:
    """Measure batches on a GPU, by provider and patchout level.

    With TensorRT and torch-tensorrt every shape is compiled the first time, which takes minutes.
    """
    from bench.measures.gpu import check, measure
    from bench.untrained import maest_30s

    check(arguments["providers"])
    if not models:
        models = tuple(str(maest_30s(precision, program=True)) for precision in ("fp32", "fp16"))
    return measure(models, **arguments)


@measurement("auricle bench pairs --tracks 100000", runs=3)
@options.number("--tracks", 3_300_000, "Tracks in the catalogue.")
def pairs(**arguments: Any) -> Report:
    """Measure drawing the pairs of an epoch of training.

    The metadata of the tracks is synthetic. Reports seconds, and peak memory in MB.
    """
    from bench.measures.pairs import measure

    return measure(**arguments)


@measurement("auricle bench peers --cores 0 --hop-size 93", runs=3, picture=True)
@options.file
@options.clip_seconds(60.0)
@options.model
@options.hop_sizes(93, 16)
@options.cores
@options.environment
def peers(file: Path | None, seconds: float, **arguments: Any) -> Report:
    """Compare Auricle with Essentia and librosa.

    Essentia-TensorFlow, librosa with ONNX Runtime and Auricle tag the same file with the same
    weights on the same cores, in turn, and must agree. Without FILE, the demo clip is repeated
    to --seconds. `make peers` installs the other two.
    """
    from bench.audio import clip
    from bench.measures.peers import measure
    from bench.workers import peers_python

    peers_python(arguments["environment"])
    with clip(file, seconds) as path:
        return measure(path, **arguments)


@measurement("auricle bench against v0.1 pipeline latency --pairs 3")
@click.argument("revision")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@options.number("--pairs", 5, "Runs of each bench with each of the two trees.")
def against(names: tuple[str, ...], **arguments: Any) -> Report:
    """Compare an older revision with this tree, bench by bench.

    REVISION is checked out into a temporary folder. Each bench NAME (by default pipeline,
    latency and streams) runs in turn in both trees; ratios are taken within pairs of runs. The
    outputs of both trees must be identical to the bit.
    """
    from bench.against import NAMES, measure

    return measure(names=names or NAMES, **arguments)


# -- results that are there ------------------------------------------------------------------------


@bench.command(epilog="Example: auricle bench rerun ring mel")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Include the long measurements.")
@click.option("--list", "listed", is_flag=True, help="List what would run, and for how long.")
def rerun(names: tuple[str, ...], every: bool, listed: bool) -> None:
    """Repeat the measurements in bench/results, and draw them.

    Repeats those called NAME, or all short ones. Refuses to run if tracked files have been changed,
    so that the commit in the results identifies what was measured. Use an otherwise idle machine.
    """
    from bench import rerun

    steps = rerun.chosen(names, every=every)
    if listed:
        click.echo("\n".join(map(str, steps)))
    else:
        rerun.run(steps, progress=functools.partial(click.echo, err=True))


@bench.command(epilog="Example: auricle bench draw streams")
@click.argument("names", metavar="[NAME]...", nargs=-1)
def draw(names: tuple[str, ...]) -> None:
    """Draw the pictures of reports in bench/results.

    Draws those of the reports called NAME, or of all.
    """
    from bench.drawings import can_draw, draw
    from bench.report import Report, results_folder

    folder = results_folder()
    paths = [folder / f"{name}.json" for name in names] or sorted(folder.glob("*.json"))
    for report in map(Report.load, paths):
        if can_draw(report):
            click.echo(draw(report, folder))


@bench.command(epilog="Example: auricle bench figures README.md docs/bench.md")
@click.argument(
    "pages", type=click.Path(exists=True, path_type=Path), nargs=-1, metavar="[FILE]..."
)
@click.option(
    "--table", "name", default="short", show_default=True, help="Name of the table to print."
)
def figures(pages: tuple[Path, ...], name: str) -> None:
    """Print the figures that pages quote, or update the pages.

    Without FILE, a table is printed as Markdown. In a FILE, whatever stands between the comments
    <!-- figures NAME --> and <!-- /figures --> is replaced by the table of that name.
    """
    from bench.figures import lines_of, table, updated
    from bench.quoted import TABLES
    from bench.report import results_folder

    if not pages:
        click.echo(table(lines_of(TABLES, name), results_folder()))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        page.write_text(updated(text, TABLES, results_folder()), encoding="utf-8")
