"""Auricle as users have it: installed, and run from folders whose names are like ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from auricle import __version__
from tests.packaging.conftest import Environment, copy_of_the_tree, make_environment, run
from tests.packaging.sources import ROOT

GENERIC = ("bench", "engine", "graphs", "models", "nodes", "tests", "training")
"""Names that we have for folders, and others for packages."""

DEMO = ROOT / "graphs/demo/demo.ogg"


def write_packages(folder: Path) -> None:
    """Packages of the user's own, each of which knows whose it is."""
    for name in GENERIC:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text('OWNER = "the user"\n')


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of the user's with packages of these names, and a song."""
    write_packages(tmp_path)
    shutil.copy(DEMO, tmp_path / "song.ogg")
    return tmp_path


def test_version(installed: Environment, project: Path) -> None:
    done = run(installed.command("auricle"), "--version", folder=project)
    assert done.stdout == f"auricle {__version__}\n"


def test_what_is_imported_is_what_was_installed(installed: Environment, project: Path) -> None:
    code = "import auricle, auricle.nodes as nodes; print(auricle.__file__, nodes.__file__)"
    for path in run(installed.python, "-c", code, folder=project).stdout.split():
        assert path.startswith(str(installed.folder))


@pytest.mark.parametrize("name", GENERIC)
def test_the_names_of_our_folders_are_free(
    installed: Environment, name: str, project: Path
) -> None:
    code = f"import auricle.cli, {name}; print({name}.OWNER)"
    assert run(installed.python, "-c", code, folder=project).stdout == "the user\n"
    # Elsewhere, nothing has this name.
    (project / "empty").mkdir()
    code = f"import importlib.util; print(importlib.util.find_spec({name!r}))"
    assert run(installed.python, "-c", code, folder=project / "empty").stdout == "None\n"


@pytest.mark.slow
def test_demo(installed: Environment, project: Path) -> None:
    auricle = installed.command("auricle")
    run(auricle, "graph", "check", "demo", folder=project)
    run(auricle, "graph", "new", "demo", folder=project)
    graph = (project / "demo.yaml").read_text()
    for port in ("5680", "5681", "5682"):  # an engine may be running here
        graph = graph.replace(port, "*")
    (project / "demo.yaml").write_text(graph)
    faster = ["--set", "input.realtime=false"]
    done = run(auricle, "run", "demo.yaml", "--listen", *faster, folder=project)
    assert "demo/" in done.stdout
    assert "0 messages lost" in done.stdout + done.stderr


def test_tag(installed: Environment, project: Path) -> None:
    done = run(installed.command("auricle"), "tag", "song.ogg", "--segments", folder=project)
    segments = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(segments) > 5
    # The same by the module's name, where the user's own packages come first on the path.
    assert run(installed.python, "-m", "auricle", "tag", "song.ogg", "--segments", folder=project)


def test_from_a_program(installed: Environment, project: Path) -> None:
    (project / "program.py").write_text(
        "import models, nodes\n"
        "from auricle import FileTagger\n"
        "segments = list(FileTagger('song.ogg'))\n"
        "print(len(segments), models.OWNER)\n"
    )
    assert run(installed.python, "program.py", folder=project).stdout.endswith("the user\n")


@pytest.mark.parametrize("name", ["live", "radio"])
def test_shipped_graphs_are_found_by_name(installed: Environment, name: str, project: Path) -> None:
    shown = run(installed.command("auricle"), "graph", "check", name, folder=project).stdout
    assert "ok, " in shown


def test_bench_is_not_installed(installed: Environment, project: Path) -> None:
    assert "bench" not in run(installed.command("auricle"), "--help", folder=project).stdout


def test_export(installed: Environment, project: Path) -> None:
    torch = pytest.importorskip("torch", reason="the extra train")
    pytest.importorskip("onnxscript", reason="the extra train")
    from auricle.models.networks.maest import Maest, MaestConfig

    config = MaestConfig(312, n_classes=2, width=64, depth=1, n_heads=1)
    torch.save(Maest(config).state_dict(), project / "maest.ckpt")
    arguments = ("models", "export", "maest.ckpt", "exported", "--block", "0")
    done = run(installed.command("auricle"), *arguments, folder=project)
    assert "comparing on demo.ogg" in done.stderr
    card = json.loads((project / "exported/card.json").read_text())
    assert card["deviation"]["tried_on"] == "demo.ogg"
    assert card["deviation"]["cosine"] > 0.999


def test_training(installed: Environment, project: Path) -> None:
    train = installed.command("auricle-train")
    assert "corpus" in run(train, "--help", folder=project).stdout
    for needed in ("mutagen", "pyarrow"):
        pytest.importorskip(needed, reason="the extra train")
    (project / "music").mkdir()
    (project / "song.ogg").rename(project / "music/song.ogg")
    run(train, "corpus", "music", "--no-split", "--out", "music.parquet", folder=project)
    assert (project / "music.parquet").stat().st_size


def test_an_editable_install_is_found_beside_the_clone(tmp_path: Path) -> None:
    """From the folder that holds a clone called auricle, as a clone is called by default."""
    pytest.importorskip("setuptools", "77", reason="builds it")
    clone = tmp_path / "auricle"
    clone.mkdir()
    copy_of_the_tree(clone)
    environment = make_environment(tmp_path / "environment")
    environment.install("--editable", clone)
    code = (
        "from auricle import FileTagger; import auricle.engine.ring as ring; print(ring.__file__)"
    )
    (tmp_path / "program.py").write_text(code)
    for arguments in (["program.py"], ["-c", code]):
        done = run(environment.python, *arguments, folder=tmp_path)
        assert Path(done.stdout.strip()).resolve() == (clone / "engine/ring.py").resolve()
    # The folders at the root of the clone do not become packages of that environment.
    write_packages(tmp_path)
    for name in GENERIC:
        code = f"import auricle.cli, {name}; print({name}.OWNER)"
        assert run(environment.python, "-c", code, folder=tmp_path).stdout == "the user\n"
    (tmp_path / "empty").mkdir()
    code = f"from importlib.util import find_spec; print([n for n in {GENERIC} if find_spec(n)])"
    assert run(environment.python, "-c", code, folder=tmp_path / "empty").stdout == "[]\n"
