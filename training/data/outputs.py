"""Embeddings and activations of a model for every segment of a corpus, computed once and stored.

The model is run as the engine runs it, in ONNX Runtime on the same mel frames; any folder that the
engine takes will do. Segment `i` of a track begins at its frame `i * hop_size`; frames after the
last whole segment are left out, as live, and a track shorter than a segment has none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError
from auricle.models import inference
from auricle.models.card import OUTPUT_PURPOSES, Card, FrontEndSpec
from auricle.models.registry import check, find
from auricle.parallel import as_completed
from auricle.training.data.features import open_features
from auricle.training.data.store import Rows, Store, StoreWriter


class Outputs:
    """Stored outputs of one model.

    Args:
        folder: Folder written by `store_outputs`.

    Attributes:
        card: Card of the model.
        hop_size: Frames from one segment to the next.
        embeddings: (segments, embedding_size) float16 by track; empty if the model has none.
        activations: (segments, classes) float16 by track; empty if the model has none.

    Raises:
        TrainingError: The folder has no outputs.
    """

    def __init__(self, folder: Path) -> None:
        store = Store(folder)
        if "card" not in store.about:
            raise TrainingError(f"{folder}: not outputs of a model")
        self.folder = folder
        self.card = Card.model_validate(store.about["card"])
        self.hop_size: int = store.about["hop_size"]
        columns = {}
        start = 0
        for name, size in store.about["columns"]:
            columns[name] = slice(start, start + size)
            start += size
        self.embeddings = _Columns(store, columns.get("embeddings"))
        self.activations = _Columns(store, columns.get("activations"))

    @property
    def segment_size(self) -> int:
        """Frames of a segment."""
        assert self.card.segment_size is not None
        return self.card.segment_size


def joint_classes(teachers: Sequence[Outputs]) -> tuple[str, ...]:
    """Names of the classes of several models, side by side.

    A class that an earlier model has, too, carries the name of the model.
    """
    names: list[str] = []
    for teacher in teachers:
        known = set(names)
        names += [
            f"{name} ({teacher.card.name})" if name in known else name
            for name in teacher.card.classes
        ]
    return tuple(names)


class _Columns(Mapping[str, Rows]):
    """Some columns of a store."""

    def __init__(self, store: Store, columns: slice | None) -> None:
        self._store = store
        self._columns = columns

    def __getitem__(self, track_id: str) -> Rows:
        if self._columns is None:
            raise KeyError(track_id)
        return self._store[track_id][:, self._columns]

    def __iter__(self) -> Iterator[str]:
        return iter(self._store if self._columns is not None else ())

    def __len__(self) -> int:
        return len(self._store) if self._columns is not None else 0


def store_outputs(
    features: Path,
    track_ids: Sequence[str],
    model: str | Path,
    folder: Path,
    hop_size: int | None = None,
    workers: int | None = None,
    report: Callable[[str], None] = lambda track_id: None,
) -> None:
    """Run a model on the features of tracks; those that the folder has already are left alone.

    Args:
        features: Folder of `auricle.training.data.features`.
        track_ids: Names of the tracks. Those without features are passed over.
        model: Name of an installed model, or its folder.
        folder: Folder of the outputs.
        hop_size: Frames from one segment to the next; the model card's, if None.
        workers: Tracks at a time; as many as there are cores, if None.
        report: Called with the id of each track that is finished, in no order, on this thread.

    Raises:
        TrainingError: The features are not what the model takes, or the folder has other outputs.
        ModelError: The model cannot be used.
        OSError: They cannot be written; what was whole before stays.
    """
    mel = open_features(features)
    running = _Run.of(find(model), mel, hop_size)
    with StoreWriter(folder, running.width, running.about) as writer:
        left = []
        for track_id in track_ids:
            if track_id in writer.done or track_id not in mel:
                report(track_id)
            else:
                left.append(track_id)
        # Threads suffice: ONNX Runtime releases the interpreter while it computes.
        count = workers or os.cpu_count() or 1
        with ThreadPoolExecutor(count) as pool:
            for track_id, rows in as_completed(pool, running.rows, left, 2 * count):
                writer.add(track_id, rows)
                report(track_id)


@dataclass(frozen=True, slots=True)
class _Run:
    """A model, with the outputs to compute and store. Called from many threads concurrently.

    Attributes:
        source: Folder of the model.
        mel: Mel frames of each track.
        front_end: Front end of the model, whose mean and standard deviation are applied.
        segment_size: Frames of a segment.
        hop_size: Frames from one segment to the next.
        outputs: Names of the model's outputs that are stored.
        width: Values of a stored row.
        about: Description that the store carries.
    """

    source: Path
    mel: Store
    front_end: FrontEndSpec
    segment_size: int
    hop_size: int
    outputs: tuple[str, ...]
    width: int
    about: dict[str, Any]

    @classmethod
    def of(cls, source: Path, mel: Store, hop_size: int | None) -> _Run:
        card = check(source)
        front_end = card.front_end
        if front_end is None or card.segment_size is None or card.segment_hop_size is None:
            raise TrainingError(
                f"{card.name}: its card names no front end or segment; it is not a backbone"
            )
        if (name := mel.about["front_end"]["name"]) != front_end.name:
            raise TrainingError(
                f"{card.name}: takes mel frames of {front_end.name}; {mel.folder} has those of "
                f"{name}"
            )
        specs = {kind: card.output(purpose) for kind, purpose in OUTPUT_PURPOSES.items()}
        sizes = {"embeddings": card.embedding_size, "activations": len(card.classes)}
        columns = [(kind, sizes[kind]) for kind, spec in specs.items() if spec]
        about = {
            "card": card.model_dump(mode="json", by_alias=True, exclude_none=True),
            "hop_size": hop_size or card.segment_hop_size,
            "columns": columns,
        }
        return cls(
            source,
            mel,
            front_end,
            card.segment_size,
            hop_size or card.segment_hop_size,
            tuple(spec.name for spec in specs.values() if spec),
            sum(size or 0 for _, size in columns),
            about,
        )

    def rows(self, track_id: str) -> NDArray[np.float16]:
        """The outputs for each segment of a track, (segments, width)."""
        mean, std = np.float32(self.front_end.mean), np.float32(self.front_end.std)
        frames = (self.mel[track_id].astype(np.float32) - mean) / std
        # As the engine does it: what segments share is computed once, where there is any.
        running = inference.open(self.source, inference.Request(self.outputs, self.hop_size))
        assert isinstance(running, inference.Inference)
        starts = range(0, len(frames) - self.segment_size + 1, self.hop_size)
        rows = np.empty((len(starts), self.width), np.float16)
        for row, start in zip(rows, starts, strict=True):
            segment = frames[start : start + self.segment_size]
            results = running.run(list(self.outputs), start, segment)
            np.concatenate([result.reshape(-1) for result in results], out=row, casting="same_kind")
        return rows
