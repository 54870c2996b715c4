"""Auricle: pairs of the tracks of a manifest, in a process that does nothing else."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from protocol import Answer, serve  # type: ignore[import-not-found]

LOOKED_AT = 20_000
"""Pairs of an epoch whose constraints are looked at again, with Python's sets."""


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """Settings: `file`, a manifest. Requests: `association` and `epoch`; none, to load the
    manifest.

    Answers: `seconds`, `peak_mb` of the process until now, and, of an epoch, `pairs` and how many
    of those looked at are `wrong`.
    """
    from auricle.training.data.catalogue import Catalogue
    from auricle.training.sampling.pairs import draw_pairs
    from bench.machine import peak_mb

    # What is measured is not the compiler.
    nobody = Catalogue.of_tracks([])
    draw_pairs(nobody, "release", 0, 0)
    catalogue = nobody

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal catalogue
        began = time.perf_counter()
        if not request:
            catalogue = Catalogue.load(Path(settings["file"]))
            return {
                "seconds": time.perf_counter() - began,
                "tracks": len(catalogue),
                "peak_mb": peak_mb(),
            }
        association = request["association"]
        pairs = draw_pairs(catalogue, association, 0, request["epoch"])
        seconds, peak = time.perf_counter() - began, peak_mb()
        wrong = sum(
            not _complies(catalogue, association, *pair) for pair in pairs[:LOOKED_AT].tolist()
        )
        return {"seconds": seconds, "peak_mb": peak, "pairs": len(pairs), "wrong": wrong}

    return {"pyarrow": version("pyarrow")}, answer


def _complies(catalogue: Any, association: str, one: int, other: int) -> bool:
    releases, artists, labels = (
        set(part[one].tolist()) & set(part[other].tolist())
        for part in (catalogue.releases, catalogue.artists, catalogue.labels)
    )
    if association == "track":
        return one == other
    by_association = {
        "release": bool(releases),
        "artist": bool(artists) and not releases,
        "label": bool(labels) and not artists,
    }
    return one != other and by_association[association]


if __name__ == "__main__":
    serve(prepare)
