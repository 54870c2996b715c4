"""A folder of sounds and a model that the tests of the service share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.running import write_sound
from tests.tiny import make_backbone


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and sounds of two seconds and of nine."""
    folder = tmp_path_factory.mktemp("streams")
    make_backbone(folder / "tiny")
    for seed, name in enumerate("abc"):
        write_sound(folder / f"{name}.wav", 2, seed)
    write_sound(folder / "long.wav", 9, 9)
    return folder
