"""What the engine does with what it is given too much of, and with what the system lacks."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from auricle.service import descriptors
from auricle.service.descriptors import check_descriptors, raise_limit
from auricle.service.stream_list import StreamSpec
from auricle.wire.client import Subscriber
from auricle.wire.messages import Heartbeat, State
from tests.service.running import make_service, request, write_graph


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that is used up already, as `check_descriptors` sees it."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (len(os.listdir("/dev/fd")) + 1, 4096))


@pytest.mark.usefixtures("few")
def test_without_file_descriptors_new_streams_are_refused_in_one_line(folder: Path) -> None:
    with make_service(write_graph(folder, "[{name: a, input: a.wav}]", "few.yaml")) as service:
        assert service.wait(60)
        answer = request(service.server.addresses["control"], "list")
    assert answer["a"]["state"] == "failed"
    assert answer["a"]["error"].startswith("no file descriptors for another stream: ")


def test_with_file_descriptors_nothing_is_refused() -> None:
    check_descriptors()


@pytest.mark.usefixtures("few")
def test_no_descriptor_is_left_to_look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(descriptors, "OPEN", tmp_path / "gone")
    with pytest.raises(Exception, match="no file descriptors"):
        check_descriptors()


def test_the_limit_is_raised_as_far_as_it_may_be() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] in (hard, min(soft, 256))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("name", ["a" * 500_000, os.fsdecode(b"no\xffsuch.wav"), "\x1b]0;x\x07"])
def test_whatever_an_input_is_called_it_is_reported(folder: Path, name: str) -> None:
    """In the answer of `list`, in the message about its state, and without an end of heartbeats."""
    with (
        make_service(write_graph(folder, "[]", "called.yaml")) as service,
        Subscriber(service.server.addresses["publish"]) as subscriber,
    ):
        assert isinstance(subscriber.receive(60), Heartbeat)
        for number in range(3):
            service.streams.add(StreamSpec(name=f"s{number}", input=f"/{name}"))
        failed: set[str] = set()
        beats = 0
        while len(failed) < 3:
            message = subscriber.receive(60)
            assert message is not None
            beats += isinstance(message, Heartbeat)
            assert beats < 60, "no message says that they have failed"
            if isinstance(message, State) and message.state == "failed":
                assert message.error
                assert message.error.isprintable()
                assert len(message.error) < 2000
                failed.add(message.stream)
        while not isinstance(message := subscriber.receive(60), Heartbeat):
            assert message is not None
        states = request(service.server.addresses["control"], "list")
    assert {each["state"] for each in states.values()} == {"failed"}
