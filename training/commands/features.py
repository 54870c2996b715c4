"""`auricle-train features`: mel frames of a manifest."""

from __future__ import annotations

import time
from pathlib import Path

import click

from auricle.training.commands import INCOMPLETE
from auricle.training.commands.progress import Tracks
from auricle.training.data.manifest import Manifest, Track

FAILED = 1


@click.command(epilog="Example: auricle-train features corpus.parquet --out features")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder of the features."
)
@click.option(
    "--front-end", type=click.Choice(["musicnn", "vggish"]), default="musicnn", show_default=True
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one per core]")
@click.option("--verify", is_flag=True, help="Only compare what is stored with its checksums.")
@click.pass_context
def features(
    ctx: click.Context, manifest: Path, out: Path, front_end: str, workers: int | None, verify: bool
) -> None:
    """Compute mel spectrograms of the tracks of a MANIFEST, as the engine does.

    They are stored as (frames, bands) float16. Tracks that are already stored are skipped, so an
    interrupted run continues. Exits with 3 if some tracks could not be used; they are listed.
    """
    from auricle.training.data.features import compute_features, open_features

    if verify:
        damaged = open_features(out).verify()
        for shard in damaged:
            click.echo(f"{shard}: damaged; remove it and its index, and compute it again", err=True)
        if damaged:
            ctx.exit(FAILED)
        click.echo(f"{out}: as it was written")
        return
    corpus = Manifest.load(manifest)
    began = time.monotonic()
    computed, computed_s = 0, 0.0

    def finished(track: Track, new: bool) -> None:
        nonlocal computed, computed_s
        computed += new
        computed_s += new * track.duration_s
        progress.finished(track.track_id)

    with Tracks("features", {track.track_id: track.duration_s for track in corpus}) as progress:
        failures = compute_features(corpus.tracks, out, front_end, workers, finished)
    seconds = sum(track.duration_s for track in corpus)
    took = time.monotonic() - began
    for failure in failures:
        click.echo(failure.reason, err=True)
    speed = (
        f"{computed_s / took:.0f} times as fast as they play"
        if computed
        else "nothing was left to do"
    )
    click.echo(f"{out}: {len(corpus) - len(failures)} tracks, {seconds / 3600:.1f} h, {speed}")
    if failures:
        click.echo(f"{len(failures)} tracks have no features", err=True)
        ctx.exit(INCOMPLETE)
