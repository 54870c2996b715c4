"""What runs graphs starts without torch and without the networks; needs no torch itself."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

LIST_MODULES = """
import importlib, pkgutil, sys
for package in map(importlib.import_module, ("auricle.engine", "auricle.nodes")):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
import auricle.service.service, auricle.models.registry
{more}
networks = (name for name in sys.modules if name.startswith("auricle.models.networks"))
print("torch" in sys.modules, *networks)
"""


def imported(more: str = "") -> list[str]:
    code = LIST_MODULES.format(more=more)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_engine_imports_neither_torch_nor_the_networks() -> None:
    assert imported() == ["False"]


def test_the_package_of_the_networks_imports_no_torch_by_itself() -> None:
    assert imported("import auricle.models.networks") == ["False", "auricle.models.networks"]
