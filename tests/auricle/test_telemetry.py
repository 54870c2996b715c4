"""Nothing that Auricle depends on writes or reports anything on its own."""

import os
from pathlib import Path

from tests.auricle.command import auricle
from tests.conftest import ROOT


def test_running_a_model_leaves_nothing_but_auricles_own_in_the_users_folders(tmp_path: Path) -> None:
    # ONNX Runtime 1.29 and newer writes a device identifier and a database there unless it is switched off.
    home = {name: str(tmp_path) for name in ("HOME", "TMPDIR")}
    folders = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "CONFIG", "DATA", "STATE")}
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    result = auricle("tag", ROOT / "graphs/demo/demo.ogg", env={**environment, **home, **folders})
    assert result.returncode == 0, result.stderr
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in written if "auricle" not in name.lower()} == set()
