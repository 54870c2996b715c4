"""From a training run to a model folder that the engine runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from auricle.errors import TrainingError
from auricle.models.card import Card, Deviation, save_card
from auricle.models.convert.wheel import FRONT_END
from auricle.models.export.folder import Export, export_convolutional, export_maest
from auricle.models.export.half_weights import halve_weights
from auricle.models.files import new_folder, sha256
from auricle.models.networks.maest import EMBEDDING_BLOCK, Maest
from auricle.models.patchout import KEEP_F, KEEP_T
from auricle.training.data.features import open_features
from auricle.training.run import recipe
from auricle.training.run.fit import load_run
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
        run: As `auricle.training.run.fit` leaves it.
        folder: Must not exist; is there as a whole or not at all.
        name: Of the model.
        precision: Of the weights in the file; what is computed has 32 bits.
        hop_size: Frames from one segment to the next; `HOP_SIZE`, or as MAEST's patches suggest, if
            None.
        licence: For the card, as SPDX has it.
        description: For the card; the recipe's, if None.

    Returns:
        The card, with how far the file is from the network on music of the run's features, if these
        are still there.

    Raises:
        TrainingError: The run is not finished, or the folder is there.
        RecipeError: The run's recipe cannot be used.
    """
    if folder.exists():
        raise TrainingError(f"{folder} is there already")
    chosen, network, notes = load_run(run)
    labels = tuple(notes["classes"])
    block = EMBEDDING_BLOCK
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "model"
        if isinstance(network, Maest):
            block = min(EMBEDDING_BLOCK, network.config.depth - 1)
            card = export_maest(network, whole, Export(name, labels, block))
            hop_size = hop_size or card.segment_hop_size
        else:
            hop_size = hop_size or HOP_SIZE
            card = export_convolutional(network, whole, name, chosen.segment_size, hop_size, labels)
        file = whole / str(card.file)
        if precision == "fp16":
            onnx.save(halve_weights(onnx.load(file)), file)
        assert card.segment_size is not None
        segments = _music(notes, card.segment_size)
        segments = (segments - np.float32(chosen.mean)) / np.float32(chosen.std)
        card = card.model_copy(
            update={
                "sha256": sha256(file),
                "front_end": FRONT_END.model_copy(update={"mean": chosen.mean, "std": chosen.std}),
                "segment_hop_size": hop_size,
                "precision": precision,
                "description": description or " ".join(chosen.about.split()),
                "licence": licence,
                "source": _source(chosen, notes),
                "release_date": notes["began"][:10],
                "dataset": {
                    # Runs of earlier versions do not say of which corpus they are.
                    "name": notes.get("corpus") or Path(notes["features"]).name,
                    "tracks": notes["tracks"],
                    "metrics": notes["figures"],
                },
                "deviation": _deviation(network, block, file, card, segments)
                if len(segments)
                else None,
            }
        )
        with new_folder(folder) as new:
            shutil.copy(file, new)
            save_card(card, new)
    return card


def _source(chosen: recipe.Recipe, notes: dict[str, Any]) -> str:
    taught = f" by {' and '.join(notes['teachers'])}" if notes["teachers"] else ""
    what = f"{chosen.network.name}, {notes['parameters']:,} parameters, trained{taught}"
    return f"{what}; auricle {notes['versions']['auricle']}, commit {notes['commit']}, seed {chosen.seed}"


def _music(notes: dict[str, Any], size: int) -> NDArray[np.float32]:
    """Segments of the run's features, (segments, frames, bands), spread over the tracks."""
    try:
        features = open_features(Path(notes["features"]))
    except TrainingError:
        return np.zeros((0, size, FRONT_END.n_mels), np.float32)
    tracks = list(features.values())
    chosen = tracks[:: max(1, len(tracks) // TRIED)][:TRIED]
    return np.stack([cut(frames, max(0, len(frames) - size) // 2, size) for frames in chosen])


def _deviation(
    network: nn.Module, block: int, file: Path, card: Card, segments: NDArray[np.float32]
) -> Deviation:
    """The file against the network, on segments as both take them; `block` is that of MAEST's
    embeddings.
    """
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in card.io.outputs]
    everything = {}
    if card.patch_grid is not None:
        everything = {
            KEEP_T: np.arange(card.patch_grid.columns),
            KEEP_F: np.arange(card.patch_grid.rows),
        }
    differences: list[float] = []
    cosines: list[float] = []
    for segment in segments[:, None]:
        with torch.no_grad():
            logits, embedding = network(torch.from_numpy(segment))
            if isinstance(network, Maest):
                embedding = network.embed(torch.from_numpy(segment), block)
        given = {card.io.inputs[0].name: segment, **everything}
        found: dict[str, Any] = dict(zip(names, session.run(names, given), strict=True))
        if "activations" in found:
            differences.append(float(np.abs(found["activations"] - logits.sigmoid().numpy()).max()))
        cosines.append(_cosine(found["embeddings"], embedding.numpy()))
    return Deviation(
        activations=max(differences, default=None),
        cosine=min(cosines),
        tried_on=f"{len(segments)} segments of the corpus",
    )


def _cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.sum(one * other) / np.linalg.norm(one) / np.linalg.norm(other))


def deviates(card: Card) -> Sequence[str]:
    """The card's deviation in words."""
    found = card.deviation
    if found is None:
        return []
    shown = (
        []
        if found.activations is None
        else [f"largest difference of an activation {found.activations:.2g}"]
    )
    return [*shown, f"least cosine of embeddings {found.cosine:.6f}", f"on {found.tried_on}"]
