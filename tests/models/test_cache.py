"""Where models are kept."""

from pathlib import Path

import pytest

from auricle.models.cache import cache_folder, models_folder


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AURICLE_CACHE", "~/somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models_folder() == tmp_path / "somewhere/models"
    monkeypatch.delenv("AURICLE_CACHE")
    assert cache_folder().name == "auricle"
    assert cache_folder().is_relative_to(tmp_path)
