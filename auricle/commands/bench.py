"""`auricle bench`: measurements that anyone can repeat."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group()
def bench() -> None:
    """Measure speed, and where the time goes."""


@bench.command(epilog="Example: auricle bench pipeline song.flac --threads 1 --json")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", default="musicnn-mtt", show_default=True, help="Model by name, or its folder.")
@click.option(
    "--hop-frames", type=click.IntRange(1), help="Frames from one segment to the next (the model card's)."
)
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of one inference."
)
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Measured runs; medians.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def pipeline(file: Path, model: str, hop_frames: int | None, threads: int, runs: int, as_json: bool) -> None:
    """Tag FILE at full speed: times real time, and the share of each part."""
    from bench.pipeline import measure

    figures = measure(file, model, hop_frames, threads, runs)
    if as_json:
        click.echo(json.dumps(figures.as_dict()))
        return
    click.echo(
        f"{figures.x_real_time:.1f}x real time: {figures.audio_s:.1f} s of audio in {figures.wall_s:.3f} s, "
        f"{figures.segments} segments, {figures.model}, {figures.threads} thread(s), median of {figures.runs}"
    )
    others_s = figures.engine_s - figures.mel_s
    parts = {
        "decoding": figures.decode_s,
        "mel": figures.mel_s,
        "inference": figures.inference_s,
        "the rest": others_s,
    }
    for part, seconds in parts.items():
        click.echo(f"  {part:<10} {seconds:8.3f} s {100 * seconds / figures.wall_s:6.1f} %")
    click.echo(f"all but decoding and inference: {100 * figures.engine_share:.1f} %")
