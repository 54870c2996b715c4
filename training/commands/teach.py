"""`auricle-train teach`: the outputs of models for a corpus."""

from __future__ import annotations

from pathlib import Path

import click

from auricle.training.commands.progress import Tracks
from auricle.training.data.manifest import Manifest


@click.command(
    epilog="""\b
Example:
  auricle-train teach corpus.parquet features musicnn-mtt musicnn-msd --out teachers"""
)
@click.argument("manifest", type=click.Path(path_type=Path))
@click.argument("features", type=click.Path(path_type=Path))
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the outputs, with a folder per model.",
)
@click.option(
    "--hop-size",
    type=click.IntRange(1),
    help="Mel frames from one segment to the next.  [default: the model card's]",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Tracks at a time.  [default: one per core]"
)
def teach(
    manifest: Path,
    features: Path,
    models: tuple[str, ...],
    out: Path,
    hop_size: int | None,
    workers: int | None,
) -> None:
    """Store activations and embeddings of MODELs, names or folders, over segments of the corpus.

    For distillation, and for heads on embeddings. A segment begins every --hop-size frames. Tracks
    that are already stored are skipped.
    """
    from auricle.training.data.outputs import store_outputs

    corpus = Manifest.load(manifest)
    durations_s = {track.track_id: track.duration_s for track in corpus}
    for model in models:
        name = Path(model).name
        with Tracks(name, durations_s) as progress:
            store_outputs(
                features, list(durations_s), model, out / name, hop_size, workers, progress.finished
            )
        click.echo(f"{name}: {out / name}")
