"""Fixtures: a wheel made here, which needs no network, and the real one where pip can get it."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from auricle.errors import ModelError
from auricle.models import download, registry
from auricle.models.files import sha256
from tests.models import bundle_writer, plain_networks


@pytest.fixture(scope="session")
def made_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that looks like musicnn 0.1.0, with random weights and a few optimizer slots."""
    path = tmp_path_factory.mktemp("made") / download.WHEEL_NAME
    with zipfile.ZipFile(path, "w") as archive:
        for checkpoint, network in (
            ("MTT_musicnn", "musicnn"),
            ("MTT_vgg", "vgg"),
            ("MSD_vgg", "vgg"),
        ):
            arrays = plain_networks.random_weights(network)
            arrays |= {f"{name}/Adam": value for name, value in arrays.items() if "bias" in name}
            arrays["beta1_power"] = np.array(0.9, np.float32)
            index, shard = bundle_writer.bundle(arrays)
            archive.writestr(f"musicnn/{checkpoint}/.index", index)
            archive.writestr(f"musicnn/{checkpoint}/.data-00000-of-00001", shard)
        tags = {name: [f"{name} {i}" for i in range(50)] for name in ("MTT_LABELS", "MSD_LABELS")}
        # Would end the test if the file were executed.
        settings = "raise SystemExit\n" + "\n".join(
            f"{name} = {labels!r}" for name, labels in tags.items()
        )
        archive.writestr("musicnn/configuration.py", settings)
        about = "musicnn-0.1.0.dist-info"
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: musicnn\nVersion: 0.1.0\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/LICENSE.md", "the licence\n")
        archive.writestr(f"{about}/RECORD", "")
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, a pip that reaches nothing, and no models that Auricle comes with."""
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path / "cache"


@pytest.fixture
def served(cache: Path, made_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `cache`, but pip finds the made wheel, and its hash is the expected one."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(made_wheel.parent))
    monkeypatch.setattr(download, "WHEEL_SHA256", sha256(made_wheel))
    return cache


@pytest.fixture(scope="session")
def real_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The musicnn 0.1.0 wheel; tests that need it are skipped where pip cannot get it."""
    try:
        return download.fetch_wheel(tmp_path_factory.mktemp("wheels"), lambda line: None)
    except ModelError as error:
        pytest.skip(f"needs the musicnn wheel: {error}")
