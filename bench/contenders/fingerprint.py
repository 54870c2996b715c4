"""Hashes of the results of a source tree for some files, for comparison with another tree's.

This script is run with the tree first on Python's path, and uses only `auricle.FileTagger` of it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import numpy as np


def fingerprint(file: str, model: str, hop_size: int | None) -> str:
    """SHA-256 of the places (in seconds), activations and embeddings of all segments of a file.

    Args:
        file: Path of the audio file.
        model: Name of an installed model, or its folder.
        hop_size: Mel frames from one segment to the next; None for the model card's.
    """
    from auricle import FileTagger

    digest = hashlib.sha256()
    for segment in FileTagger(file, model, hop_size, embeddings=True):
        place = np.array([segment.start, segment.end], np.float64)
        activations = np.array(list(segment.activations.values()), np.float32)
        for values in (place, activations, segment.embeddings):
            digest.update(b"none" if values is None else np.ascontiguousarray(values).tobytes())
        digest.update("\n".join(segment.activations).encode())
    return digest.hexdigest()


def main() -> None:
    """Read a list of cases as JSON from standard input; write their hashes as JSON, by name.

    A case has a `name` and the arguments of `fingerprint`. If it cannot be computed, the error
    takes the place of the hash.
    """
    found: dict[str, str] = {}
    cases: list[dict[str, Any]] = json.load(sys.stdin)
    for case in cases:
        name = case.pop("name")
        try:
            found[name] = fingerprint(**case)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(found))


if __name__ == "__main__":
    main()
