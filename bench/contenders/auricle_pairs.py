"""Auricle: pairs of the tracks of a manifest, in a process that does nothing else."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from protocol import Answer, serve  # type: ignore[import-not-found]

from auricle.training.data.catalogue import Catalogue
from auricle.training.sampling.pairs import draw_pairs
from bench.machine import peak_mb

CHECKED = 20_000
"""Number of pairs per epoch whose constraints are checked again, with Python's sets."""


class Drawing:
    """Pairs of the tracks of a manifest.

    Args:
        file: The manifest.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._catalogue = Catalogue.of_tracks([])
        draw_pairs(self._catalogue, "release", 0, 0)  # compiles what is not to be measured

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Draw an `epoch` of an `association`; an empty request loads the manifest.

        Returns:
            `seconds` that it took, `peak_mb`, peak memory of the process in MB, and for an epoch
            the number of `pairs`, and of `wrong` ones among those that are checked.
        """
        began = time.perf_counter()
        if not request:
            self._catalogue = Catalogue.load(self._file)
            return {"seconds": time.perf_counter() - began, "peak_mb": peak_mb()}
        association = request["association"]
        pairs = draw_pairs(self._catalogue, association, 0, request["epoch"])
        seconds, peak = time.perf_counter() - began, peak_mb()
        checked = pairs[:CHECKED].tolist()
        wrong = sum(not _complies(self._catalogue, association, *pair) for pair in checked)
        return {"seconds": seconds, "peak_mb": peak, "pairs": len(pairs), "wrong": wrong}


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """See `Drawing`; the setting is its `file`."""
    return {"pyarrow": version("pyarrow")}, Drawing(Path(settings["file"])).answer


def _complies(catalogue: Any, association: str, one: int, other: int) -> bool:
    parts = (catalogue.releases, catalogue.artists, catalogue.labels)
    shared = [set(part[one].tolist()) & set(part[other].tolist()) for part in parts]
    releases, artists, labels = map(bool, shared)
    if association == "track":
        return one == other
    by_association = {
        "release": releases,
        "artist": artists and not releases,
        "label": labels and not artists,
    }
    return one != other and by_association[association]


if __name__ == "__main__":
    serve(prepare)
