"""`auricle run`: a graph at work, changed from the command line, and failing well."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from auricle.cli.run import settle
from auricle.cli.signals import catch_interrupts
from auricle.errors import WireError
from auricle.models.heads.head import save_head
from auricle.models.heads.mlp import Layer
from auricle.service.overrides import load_graph
from auricle.service.service import Service
from auricle.tagging import FileTagger
from auricle.wire.client import Subscriber, request
from auricle.wire.messages import Array, End, Prediction
from tests.cli.command import assert_one_line, auricle
from tests.tiny import SIZE, make_backbone

GRAPH = """
stream: test
nodes:
  - {id: input, class: FileInput, params: {path: sound.wav, realtime: true}}
  - {id: mel, class: MelSpectrogram}
  - {id: backbone, class: Backbone, params: {model: tiny}}
  - {id: heads, class: Heads}
  - {id: publish, class: Publisher}
edges:
  - input -> mel -> backbone.predictions -> publish.predictions
  - backbone.embeddings -> heads -> publish.predictions
  - mel.mel -> publish.arrays
wire: {publish: "tcp://127.0.0.1:*", arrays: "tcp://127.0.0.1:*", control: "tcp://127.0.0.1:*"}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph, a model, a head, and three seconds of sound."""
    folder = tmp_path_factory.mktemp("run")
    model = make_backbone(folder / "tiny")
    (folder / "graph.yaml").write_text(GRAPH.replace("model: tiny", f"model: {model}"))
    rng = np.random.default_rng(0)
    save_head(
        folder / "mood",
        [Layer(rng.normal(size=(SIZE, 2)).astype("f4"), np.zeros(2, "f4"), "softmax")],
        name="mood",
        labels=("happy", "sad"),
        embedding_model="tiny",
    )
    with wave.open(str(folder / "sound.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(rng.integers(-9999, 9999, 48000).astype("<i2").tobytes())
    return folder


@pytest.fixture
def service(folder: Path) -> Iterator[Service]:
    with Service(load_graph(folder / "graph.yaml"), folder) as service:
        yield service


@pytest.fixture
def endless(folder: Path) -> Iterator[Service]:
    """A service whose sound lasts longer than any test."""
    with wave.open(str(folder / "endless.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(16000 * 2 * 600))
    graph = load_graph(folder / "graph.yaml", {"input.path": str(folder / "endless.wav")})
    with Service(graph, folder) as service:
        yield service


@pytest.mark.parametrize("interrupted_at", [None, 7])
def test_the_streams_are_announced_when_they_are_open(interrupted_at: int | None) -> None:
    """However long that takes, unless it is interrupted."""
    waited: list[bool] = []
    stop = threading.Event()

    class Opening:
        heard = True

        @property
        def opening(self) -> bool:
            return len(waited) < 30

        def wait(self, seconds: float) -> bool:
            waited.append(True)
            if len(waited) == interrupted_at:
                stop.set()
            return False

    settle(Opening(), stop, many=True)  # type: ignore[arg-type]
    assert len(waited) == (interrupted_at or 30)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Signals as they were, afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(("patience_s", "ended"), [(0.0, [signal.SIGTERM]), (1e9, [])])
def test_another_signal_ends_the_process(patience_s: float, ended: list[int]) -> None:
    """Unless it comes immediately: then it is the same one, passed on by the parent process."""
    raised: list[int] = []
    interrupted = catch_interrupts(patience_s, raised.append)
    assert not interrupted.is_set()
    os.kill(os.getpid(), signal.SIGTERM)
    assert interrupted.wait(10)
    assert raised == []
    os.kill(os.getpid(), signal.SIGTERM)
    assert raised == ended
    assert (signal.getsignal(signal.SIGTERM) == signal.SIG_DFL) == bool(ended)


def test_what_is_published_live_equals_what_is_tagged_offline(folder: Path) -> None:
    service = Service(load_graph(folder / "graph.yaml"), folder)
    service.server.start()
    with Subscriber(service.server.addresses["publish"], ["test/"]) as subscriber:
        # The socket is open before the graph begins; the retained heartbeat proves the
        # subscription.
        with Subscriber(service.server.addresses["publish"]) as probe:
            assert probe.receive(10)
        service.start_streams()
        messages = []
        while (message := subscriber.receive(20)) is not None:
            messages.append(message)
            if isinstance(message, End):
                break
    service.stop()
    found = [message for message in messages if isinstance(message, Prediction)]
    offline = list(FileTagger(folder / "sound.wav", str(folder / "tiny")))
    assert [prediction.index for prediction in found] == [segment.index for segment in offline]
    for prediction, segment in zip(found, offline, strict=True):
        assert dict(prediction.activations) == segment.activations
        assert (prediction.start, prediction.end) == (segment.start, segment.end)
        assert prediction.span == (round(segment.start * 16000), round(segment.end * 16000))
        stages = {"capture", "queue", "mel", "inference", "publish", "total"}
        assert stages <= set(prediction.latency)
    assert isinstance(messages[-1], End)
    assert messages[-1].seconds == 3.0
    assert subscriber.losses.total == 0


def test_control_socket(endless: Service, folder: Path) -> None:
    service = endless
    address = service.server.addresses["control"]
    assert request(address, "list")["test"]["state"] in ("opening", "running")
    with Subscriber(service.server.addresses["publish"], ["test/prediction/mood"]) as subscriber:
        added = request(address, "add-head", head=str(folder / "mood"))
        assert added == {"test": {"heads": "mood"}}
        message = subscriber.receive(20)
        assert isinstance(message, Prediction)
        assert set(dict(message.activations)) == {"happy", "sad"}
    assert request(address, "statistics")["test"]["nodes"]["heads"]["heads"] == ["mood"]
    assert request(address, "remove-head", head="mood") == {"test": {"heads": "mood"}}
    with pytest.raises(
        WireError, match=r"no stream 'tset' \(did you mean test\?\); streams are: test"
    ):
        request(address, "stop", stream="tset")
    assert request(address, "stop", stream="test") == ["test"]
    assert service.wait(20)
    assert request(address, "list")["test"]["state"] == "stopped"


def test_arrays_have_their_own_socket(service: Service) -> None:
    with Subscriber(service.server.addresses["arrays"], ["test/array/mel"]) as subscriber:
        message = subscriber.receive(20)
    assert isinstance(message, Array)
    assert isinstance(message.values, np.ndarray)
    assert message.values.dtype == np.float32
    assert message.values.shape[1:] == (96,)


def test_other_input_and_other_parameters(folder: Path) -> None:
    result = auricle(
        "run",
        folder / "graph.yaml",
        "--input",
        folder / "sound.wav",
        "--set",
        "backbone.hop_size=20",
        "--listen",
    )
    assert result.returncode == 0, result.stderr
    # 188 frames, segments of 40 every 20; a file given with --input is not paced.
    assert (
        len(
            [line for line in result.stdout.splitlines() if line.startswith("test/prediction/tags")]
        )
        <= (188 - 40) // 20 + 1
    )
    assert "test/end  the stream ended after 3.00 s" in result.stdout
    assert "latency, ms" in result.stdout


def test_addresses_are_set_from_the_command_line(folder: Path) -> None:
    """So that a second engine runs beside the first, without another graph file."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    setting = f"wire.publish=tcp://127.0.0.1:{port}"
    result = auricle("run", folder / "graph.yaml", "--set", setting, "--duration", 0.5)
    assert result.returncode == 0, result.stderr
    assert f"stream test; publish tcp://127.0.0.1:{port}, arrays tcp://" in result.stderr
    none = auricle("run", folder / "graph.yaml", "--set", "wire.publish=null", "--listen")
    assert none.returncode == 2
    assert "graph.yaml: --listen needs an address in wire.publish" in none.stderr


STREAMS = """
streams:
  - {name: good, input: sound.wav}
  - {name: bad, input: gone.wav}
  - {name: cut, input: graph.yaml}
"""


def test_the_log_says_of_each_stream_what_became_of_it(folder: Path) -> None:
    (folder / "many.yaml").write_text((folder / "graph.yaml").read_text() + STREAMS)
    result = auricle("run", folder / "many.yaml")
    assert result.returncode == 1
    lines = result.stderr.strip().splitlines()
    assert any(line.startswith("3 streams; publish tcp://") for line in lines)
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    for said in (
        r"ERROR auricle\.cli\.logs: bad: input: .*gone\.wav: No such file",
        r"ERROR auricle\.cli\.logs: cut: input: .*graph\.yaml: ",
        r"INFO auricle\.cli\.logs: good: finished",
    ):
        assert any(re.match(f"{stamp} {said}", line) for line in lines), (said, lines)
    assert lines[-1] == "auricle: 2 of 3 streams failed"


def test_a_source_that_fails_is_tried_again(folder: Path) -> None:
    restart = "restart: {when: on-error, first_pause_s: 0.01, longest_pause_s: 0.02}\n"
    (folder / "again.yaml").write_text((folder / "graph.yaml").read_text() + restart)
    command = [sys.executable, "-m", "auricle", "run", str(folder / "again.yaml")]
    with subprocess.Popen(
        [*command, "--input", "gone.wav"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        tried: list[str] = []
        while len(tried) < 3:
            line = process.stderr.readline()
            assert line, "it would have continued"
            if "gone.wav: No such file" in line:
                tried.append(line)
        process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert process.returncode == 0
    assert all(" WARNING " in line and "; next try in 0.0 s" in line for line in tried)


def test_duration_ends_it(folder: Path) -> None:
    result = auricle("run", folder / "graph.yaml", "--duration", 0.5)
    assert (result.returncode, result.stdout) == (0, "")


def test_interrupt_ends_it(folder: Path) -> None:
    """Standard input that nobody closes: it would run for ever."""
    command = [
        sys.executable,
        "-m",
        "auricle",
        "run",
        str(folder / "graph.yaml"),
        "--input",
        "-:16000,1,s16le",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("stream test; publish tcp://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_raw_pcm_on_standard_input(folder: Path) -> None:
    pcm = np.random.default_rng(0).integers(-9999, 9999, 96000).astype("<i2").tobytes()
    command = [
        sys.executable,
        "-m",
        "auricle",
        "run",
        str(folder / "graph.yaml"),
        "--input",
        "-:48000,2,s16le",
        "--listen",
    ]
    result = subprocess.run(command, input=pcm, capture_output=True, timeout=500, check=False)
    assert result.returncode == 0, result.stderr
    assert b"the stream ended after 1.00 s" in result.stdout


def test_port_in_use(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = (
            (folder / "graph.yaml")
            .read_text()
            .replace('publish: "tcp://127.0.0.1:*"', f"publish: tcp://127.0.0.1:{port}")
        )
        (folder / "taken.yaml").write_text(text)
        result = auricle("run", folder / "taken.yaml")
    assert_one_line(result, f"tcp://127.0.0.1:{port}", "in use")


def test_address_open_to_others_needs_keys(folder: Path) -> None:
    text = (
        (folder / "graph.yaml")
        .read_text()
        .replace('control: "tcp://127.0.0.1:*"', 'control: "tcp://0.0.0.0:*"')
    )
    (folder / "open.yaml").write_text(text)
    assert_one_line(auricle("run", folder / "open.yaml"), "tcp://0.0.0.0:*", "curve", code=2)


@pytest.mark.parametrize(
    ("what", "parts"),
    [
        ("nowhere.wav", ["input", "nowhere.wav", "No such file"]),
        ("gopher2://127.0.0.1:9/x", ["input", "gopher2://127.0.0.1:9/x", "Protocol not found"]),
        ("http://", ["input", "http://", "no host"]),
        ("zmq:127.0.0.1:5690", ["an address is needed"]),
        ("-:48000", ["-:RATE,CHANNELS,FORMAT"]),
    ],
)
def test_inputs_that_are_not_there(folder: Path, what: str, parts: list[str]) -> None:
    result = auricle("run", folder / "graph.yaml", "--input", what)
    assert_one_line(result, *parts, code=result.returncode)
    assert result.returncode in (1, 2)


def test_a_url_that_cannot_be_reached_is_waited_for(folder: Path) -> None:
    url = "http://127.0.0.1:9/x"
    result = auricle("run", folder / "graph.yaml", "--input", url, "--duration", 0.3)
    assert result.returncode == 1
    first, *_, last = result.stderr.splitlines()
    assert re.search(rf" WARNING auricle\.cli\.logs: .*{url}: Connection refused; next try", first)
    assert last == f"auricle: nothing to hear: {url}: Connection refused"


def test_a_device_that_is_not_there_is_waited_for(folder: Path) -> None:
    name = "mic:Theremin of the Neighbours"
    result = auricle("run", folder / "graph.yaml", "--input", name, "--duration", 5)
    assert result.returncode == 1
    *_, last = result.stderr.splitlines()
    assert re.search(r"nothing to hear: .*Theremin|PortAudio is not installed", last)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("backbone.hop=3", "no parameter 'hop'"),
        ("bckbone.hop_size=3", "no node 'bckbone' (did you mean backbone?)"),
        ("wire.publsh=tcp://127.0.0.1:*", "no parameter 'wire.publsh'"),
        ("wire.publish=3", "wire.publish=3: input should be a valid string"),
        ("backbone.hop_size=0", "hop_size=0"),
        ("hop_size", "--set hop_size: not of the form NODE.PARAM=VALUE"),
        ("=3", "--set =3: not of the form NODE.PARAM=VALUE"),
        ("backbone.model=[", "--set backbone.model=[: not YAML: while parsing"),
        ("backbone.model=!!python/name:os.system", "not YAML: could not determine a constructor"),
        ("backbone.model=2020-99-99", "not YAML: month must be in 1..12"),
    ],
)
def test_settings_that_cannot_be(folder: Path, setting: str, message: str) -> None:
    assert_one_line(auricle("run", folder / "graph.yaml", "--set", setting), message, code=2)


def test_listener_in_another_process(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    text = (
        (folder / "graph.yaml")
        .read_text()
        .replace('publish: "tcp://127.0.0.1:*"', f"publish: tcp://127.0.0.1:{port}")
    )
    (folder / "fixed.yaml").write_text(text)
    command = [
        sys.executable,
        "-m",
        "auricle",
        "listen",
        f"tcp://127.0.0.1:{port}",
        "--json",
        "--until-end",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as listener:
        assert listener.stderr is not None
        assert "waiting for" in listener.stderr.readline()
        assert auricle("run", folder / "fixed.yaml").returncode == 0
        output, _ = listener.communicate(timeout=500)
    assert listener.returncode == 0
    messages = [json.loads(line) for line in output.splitlines()]
    assert messages[-1]["type"] == "end"
    assert [m["seq"] for m in messages if m["type"] == "prediction"] == list(range(12))
