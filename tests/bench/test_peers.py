"""Peers: the same work by other programs, which have to agree; here by stand-ins for them."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from auricle.cli import cli
from auricle.errors import AuricleError, ConfigError
from bench.measures import mel, peers
from bench.measures.peers import OURS, Peer, difference, measure
from bench.workers import CONTENDERS, Worker, peers_python
from tests.bench.cells import number, spread
from tests.cli.command import assert_one_line, auricle
from tests.conftest import ROOT
from tests.tiny import make_backbone

FILE = ROOT / "tests/data/reference.flac"

PEER = """
import json, sys, time
import numpy as np
import onnxruntime
import soundless
settings = json.loads(sys.argv[1])
print(json.dumps({"versions": {"stand-in": "7"}}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    np.save(request["output"], soundless.activations(settings, request["hop_size"]) + OFFSET)
    print(json.dumps({"seconds": 0.125}), flush=True)
"""

# What the peers have in their environment: here, the project's own parts.
LIBRARY = """
import sys
sys.path.insert(0, ROOT)
import numpy as np
def activations(settings, hop):
    from auricle import FileTagger
    segments = FileTagger(settings["file"], settings["model"], hop)
    return np.array([list(segment.activations.values()) for segment in segments], np.float32)
"""


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A folder that looks like a virtual environment."""
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "soundless.py").write_text(LIBRARY.replace("ROOT", repr(str(ROOT))))
    return python.parents[1]


def stand_in(tmp_path: Path, offset: float) -> Peer:
    script = tmp_path / f"peer_{offset:g}.py"
    script.write_text(PEER.replace("OFFSET", f"np.float32({offset})"))
    return Peer("stand-in", script, tolerance=1e-3, targets=((13, 1e9),))


def test_a_peer_that_agrees(tmp_path: Path, environment: Path) -> None:
    model = make_backbone(tmp_path / "tiny")
    report = measure(FILE, str(model), (13, 20), None, environment, 3, [stand_in(tmp_path, 0)])
    assert list(report.rows) == [
        f"hop {hop}: {name}" for hop in (13, 20) for name in (OURS, "stand-in")
    ]
    theirs = report.rows["hop 13: stand-in"]
    assert spread(theirs["x real time"]).median == pytest.approx(12.4 / 0.125)
    assert theirs["segments"] == (776 - 40) // 13 + 1
    assert theirs["error"] == 0
    assert spread(report.rows[f"hop 13: {OURS}"]["its time / ours"]).median == 1
    ratio, ours = (
        spread(theirs["its time / ours"]).median,
        spread(report.rows[f"hop 13: {OURS}"]["x real time"]).median,
    )
    assert ratio == pytest.approx(ours * 0.125 / 12.4)
    # A missed target of speed is not an error.
    assert [target.met for target in report.targets] == [True, False, True]
    assert report.wrong == []
    assert report.versions["stand-in"] == "7"


def test_a_peer_that_disagrees_fails_the_bench(
    tmp_path: Path, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_backbone(tmp_path / "tiny")
    options = ["bench", "peers", str(FILE), "--model", str(model), "--hop-size", "13"]
    options += ["--runs", "1", "--environment", str(environment)]
    monkeypatch.setattr(peers, "PEERS", (stand_in(tmp_path, 0.01),))
    result = CliRunner().invoke(cli, options)
    assert result.exit_code == 1
    assert "hop 13: stand-in" in result.stdout  # the table is shown all the same
    assert result.stderr.strip() == (
        "auricle: wrong numbers: hop 13: difference of stand-in is 0.01, at most 0.001 is allowed"
    )
    monkeypatch.setattr(peers, "PEERS", (stand_in(tmp_path, 1e-4),))
    result = CliRunner().invoke(cli, options)
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.fixture
def installed() -> Path:
    """The peers' real environment."""
    try:
        return peers_python().parents[1]
    except ConfigError as error:
        pytest.skip(f"needs the peers: {error}")


def test_the_real_peers_agree(installed: Path, musicnn: str) -> None:
    report = measure(FILE, musicnn, (93,), environment=installed, runs=1)
    errors = [number(row["error"]) for row in report.rows.values()]
    # Essentia's float32 tables; float32 sums in another order.
    assert errors[0] == 0
    assert 0 < errors[1] < 5e-5
    assert 0 < errors[2] < 5e-6
    assert {row["segments"] for row in report.rows.values()} == {(776 - 187) // 93 + 1}
    assert {"essentia-tensorflow", "peers' librosa"} <= set(report.versions)


def test_essentias_mel_agrees(installed: Path) -> None:
    report = mel.measure(environment=installed, runs=1, run_s=0.001)
    assert report.reference == mel.ESSENTIA
    assert 3e-6 < number(report.rows[mel.ESSENTIA]["error"]) < 3e-4
    assert report.wrong == []


def test_without_the_peers(tmp_path: Path) -> None:
    result = auricle("bench", "peers", "--environment", tmp_path)
    assert_one_line(result, str(tmp_path), "make peers", code=2)
    result = auricle("bench", "peers", env={**os.environ, "AURICLE_PEERS": str(tmp_path / "none")})
    assert_one_line(result, "none", "make peers", code=2)


def test_a_file_that_is_not_there(environment: Path, tmp_path: Path) -> None:
    model = make_backbone(tmp_path / "tiny")
    result = auricle("bench", "peers", "no.flac", "--model", model, "--environment", environment)
    assert_one_line(result, "no.flac", code=2)


def test_an_environment_without_what_a_peer_needs(tmp_path: Path, environment: Path) -> None:
    script = tmp_path / "needy.py"
    script.write_text(
        "from protocol import serve\nserve(lambda settings: __import__('no_such_package'))\n"
    )
    (tmp_path / "protocol.py").write_text((CONTENDERS / "protocol.py").read_text())
    with pytest.raises(
        ConfigError, match="needy: ModuleNotFoundError: No module named 'no_such_package'"
    ):
        Worker("needy", environment / "bin/python", script, {})


def test_a_contender_that_ends(tmp_path: Path) -> None:
    script = tmp_path / "mortal.py"
    script.write_text(
        "import sys\nprint('{\"versions\": {}}', flush=True)\ninput()\n"
        "print('farewell', file=sys.stderr)\nsys.exit(5)\n"
    )
    with (
        Worker("mortal", Path(sys.executable), script, {}) as worker,
        pytest.raises(AuricleError, match="mortal ended with code 5: farewell"),
    ):
        worker.ask()


def test_what_a_contender_prints_does_not_disturb(tmp_path: Path) -> None:
    script = tmp_path / "talker.py"
    (tmp_path / "protocol.py").write_text((CONTENDERS / "protocol.py").read_text())
    script.write_text(
        "import os\nfrom protocol import serve\n"
        "def prepare(settings):\n"
        "    print('loading', flush=True)\n"
        "    os.system('echo from another process')\n"
        "    return {'talk': '1'}, lambda request: {'sum': settings['a'] + request['b']}\n"
        "serve(prepare)\n"
    )
    with Worker("talker", Path(sys.executable), script, {"a": 1}) as worker:
        assert worker.versions == {"talk": "1"}
        assert [worker.ask(b=b) for b in (2, 3)] == [{"sum": 3}, {"sum": 4}]


def test_difference() -> None:
    a = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    b = a + np.array([[0, 0.01], [0, 0], [0.02, 0]])
    assert difference(a, a) == 0
    assert difference(a, b) == pytest.approx(0.02)
    assert difference(a, b[:2]) == pytest.approx(0.01)
    assert difference(a, b[:1]) == np.inf
    assert difference(a, b[:, :1]) == np.inf
    assert difference(a[:0], b[:0]) == np.inf
