"""Hashes of what a source tree computes for some files, to be compared to the bit with another's.

This script is run with the tree first on Python's path, and knows of it only `auricle.FileTagger`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import numpy as np


def fingerprint(file: str, model: str, hop_size: int | None) -> str:
    """SHA-256 of the places, activations and embeddings of all segments of a file."""
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

    A case has `name` and the arguments of `fingerprint`. Where it cannot be computed the text is
    the error.
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
