"""From a training run to a model folder that the engine runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError
from auricle.models.card import Card, FrontEndSpec
from auricle.models.export.folder import write_model_folder
from auricle.models.export.modules import segment_size
from auricle.models.export.options import Export
from auricle.models.networks.maest import EMBEDDING_BLOCK, Maest
from auricle.training.data.features import open_features
from auricle.training.recipe import Recipe
from auricle.training.run.folder import load_run
from auricle.training.sampling.batches import cut

HOP_SIZE: Final = 62
"""Frames from one segment to the next, 0.992 s, unless asked otherwise; MAEST has its own."""

TRIED: Final = 8
"""Segments that the file is compared with the network on."""

Precision = Literal["fp32", "fp16"]


def export_run(
    run: Path,
    folder: Path,
    name: str,
    precision: Precision = "fp32",
    hop_size: int | None = None,
    licence: str | None = None,
    description: str | None = None,
) -> Card:
    """Write the model folder of a finished run.

    Args:
        run: Folder of a finished run.
        folder: Folder of the model; it must not exist, and is written as a whole or not at all.
        name: Name of the model.
        precision: Precision of the weights in the file; computation has 32 bits.
        hop_size: Frames from one segment to the next; `HOP_SIZE`, or as MAEST's patches suggest, if
            None.
        licence: SPDX identifier, for the card.
        description: Description for the card; the recipe's, if None.

    Returns:
        The card, with how far the file is from the network on music of the run's features, if these
        are still there.

    Raises:
        TrainingError: The run is not finished, or the folder exists.
        RecipeError: The run's recipe cannot be used.
    """
    if folder.exists():
        raise TrainingError(f"{folder} exists already")
    chosen, network, notes = load_run(run)
    is_maest = isinstance(network, Maest)
    size = segment_size(network) if is_maest else chosen.segment_size
    export = Export(
        name,
        labels=tuple(notes["classes"]),
        block=min(EMBEDDING_BLOCK, network.config.depth - 1) if is_maest else EMBEDDING_BLOCK,
        half_weights=precision == "fp16",
        front_end=FrontEndSpec.of("musicnn", chosen.mean, chosen.std),
        segment_size=size,
        hop_size=hop_size or (None if is_maest else HOP_SIZE),
        description=description or " ".join(chosen.about.split()),
        licence=licence,
        source=_source(chosen, notes),
        release_date=notes["began"][:10],
        dataset={
            # Runs of earlier versions do not name their corpus.
            "name": notes.get("corpus") or Path(notes["features"]).name,
            "tracks": notes["tracks"],
            "metrics": notes["figures"],
        },
    )
    segments = _music(notes, size)
    tried_on = f"{len(segments)} segments of the corpus"
    return write_model_folder(network, folder, export, segments, tried_on)


def _source(chosen: Recipe, notes: dict[str, Any]) -> str:
    taught = f" by {' and '.join(notes['teachers'])}" if notes["teachers"] else ""
    what = f"{chosen.network.name}, {notes['parameters']:,} parameters, trained{taught}"
    auricle = f"auricle {notes['versions']['auricle']}"
    return f"{what}; {auricle}, commit {notes['commit']}, seed {chosen.seed}"


def _music(notes: dict[str, Any], size: int) -> list[NDArray[np.float32]]:
    """Segments of the run's features, (frames, bands) each, spread over the tracks."""
    try:
        features = open_features(Path(notes["features"]))
    except TrainingError:
        return []
    tracks = list(features.values())
    chosen = tracks[:: max(1, len(tracks) // TRIED)][:TRIED]
    return [cut(frames, max(0, len(frames) - size) // 2, size) for frames in chosen]
