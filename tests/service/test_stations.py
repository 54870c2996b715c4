"""The list of stations read again, and streams that are kept for the next start."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from auricle.errors import ConfigError, WireError
from auricle.service.overrides import load_graph
from auricle.service.service import Service
from auricle.service.stations import reload_and_log
from tests.service.running import request

GRAPH = """
stream: template
nodes:
  - {id: input, class: ZmqInput}
  - {id: sink, class: "tests.service.tunable:Tunable"}
edges: [input -> sink]
wire: {control: "tcp://127.0.0.1:*"}
workers: 1
"""


def source(name: str) -> str:
    """A PCM input, which waits for a sender for ever."""
    return f"zmq:inproc://{name}"


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    (tmp_path / "graph.yaml").write_text(
        GRAPH + "streams: {name: '{stem}', sources: stations.txt}\nkeep_added: added.json\n"
    )
    return tmp_path / "graph.yaml"


def write(graph: Path, *names: str) -> None:
    (graph.parent / "stations.txt").write_text("".join(f"{source(name)}\n" for name in names))


def serve(graph: Path) -> Service:
    return Service(load_graph(graph), graph.parent)


def names(service: Service) -> list[str]:
    return sorted(stream.name for stream in service.streams.all)


def wait_for_names(service: Service, *expected: str) -> None:
    assert service.streams.wait_for(lambda: names(service) == sorted(expected), 500)


def test_what_is_new_starts_what_is_gone_stops_and_the_rest_is_untouched(graph: Path) -> None:
    write(graph, "jazz", "news")
    with serve(graph) as service:
        (jazz,) = service.streams.choose("jazz")
        run = jazz.run
        service.add_stream("guest", source("guest"))
        write(graph, "talk", "classic", "jazz")
        changes = request(service.server.addresses["control"], "reload")
        assert changes == {
            "added": ["talk", "classic"], "removed": ["news"], "replaced": [], "refused": [],
        }  # fmt: skip
        wait_for_names(service, "classic", "guest", "jazz", "talk")
        assert service.streams.choose("jazz")[0].run is run
        assert not run.over
        assert not any(service.stations.reload().values())


def test_a_name_with_another_source_is_replaced(graph: Path) -> None:
    write(graph, "a/jazz")
    with serve(graph) as service:
        (before,) = service.streams.all
        write(graph, "b/jazz")
        assert service.stations.reload()["replaced"] == ["jazz"]
        assert service.streams.wait_for(
            lambda: names(service) == ["jazz"] and service.streams.all[0] is not before, 500
        )
        (after,) = service.streams.all
        assert after.spec is not None
        assert after.spec.input == source("b/jazz")


def test_a_line_that_cannot_be_used_is_left_out(
    graph: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(graph, "jazz")
    caplog.set_level(logging.INFO, "auricle")
    with serve(graph) as service:
        (graph.parent / "stations.txt").write_text(
            f"{source('jazz')}\nzmq:nonsense\n{source('x')}\n"
        )
        reload_and_log(service.stations)
        assert names(service) == ["jazz", "x"]
        (graph.parent / "stations.txt").unlink()
        reload_and_log(service.stations)
        assert names(service) == ["jazz", "x"], "a list that is gone stops nothing"
    refused, changed, unread = caplog.messages
    assert refused.startswith("left out: stream 'zmq:nonsense': input 'zmq:nonsense'")
    assert changed == "the list of streams was read again: 1 added, 1 refused"
    assert unread.startswith("the list of streams was not read again: streams.sources: ")


def test_streams_in_the_graph_itself_are_not_read_again(graph: Path) -> None:
    graph.write_text(f"{GRAPH}streams: [{{name: jazz, input: '{source('jazz')}'}}]\n")
    with serve(graph) as service, pytest.raises(WireError, match="not listed in a file"):
        request(service.server.addresses["control"], "reload")


def test_a_station_keeps_its_name_wherever_its_line_is(graph: Path) -> None:
    graph.write_text(f"{GRAPH}streams: {{sources: stations.txt}}\n")
    write(graph, "jazz/live", "news/live")
    with serve(graph) as service:
        before = names(service)
        assert all(re.fullmatch("live-[0-9a-f]{6}", name) for name in before)
        write(graph, "news/live", "jazz/live")
        assert not any(service.stations.reload().values())
        assert names(service) == before


def test_streams_that_commands_add_are_there_after_a_restart(graph: Path) -> None:
    write(graph, "jazz")
    with serve(graph) as service:
        service.add_stream("guest", source("guest"), {"sink.gain": 3})
        service.add_stream("other", source("other"))
        service.remove_stream("other")
    kept = graph.parent / "added.json"
    assert kept.stat().st_mode & 0o077 == 0, "addresses may have passwords"
    with serve(graph) as service:
        assert names(service) == ["guest", "jazz"]
        (guest,) = service.streams.choose("guest")
        assert guest.run.graph.nodes["sink"].settings()["gain"] == 3


def test_by_default_nothing_is_kept(graph: Path) -> None:
    write(graph, "jazz")
    graph.write_text(graph.read_text().replace("keep_added: added.json\n", ""))
    with serve(graph) as service:
        service.add_stream("guest", source("guest"))
    assert sorted(path.name for path in graph.parent.iterdir()) == ["graph.yaml", "stations.txt"]


@pytest.mark.parametrize("content", ["{", "[1]", "7", '[{"name": "a/b", "input": "x"}]'])
def test_a_file_of_kept_streams_that_is_damaged_is_one_line(graph: Path, content: str) -> None:
    write(graph, "jazz")
    (graph.parent / "added.json").write_text(content)
    with pytest.raises(ConfigError, match=r"added\.json: ") as caught:
        serve(graph)
    assert "\n" not in str(caught.value)


def test_what_is_kept_and_not_allowed_any_more_is_left_out(
    graph: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(graph, "jazz")
    with serve(graph) as service:
        service.add_stream("guest", source("guest"))
    graph.write_text(graph.read_text() + "allow: {schemes: [https]}\n")
    with serve(graph) as service:
        assert names(service) == ["jazz"]
    assert any("stream guest, kept in" in line for line in caplog.messages)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
def test_a_hangup_has_the_list_read_again(graph: Path) -> None:
    write(graph, "jazz")
    command = [sys.executable, "-m", "auricle", "run", str(graph)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("1 streams; control"):
            assert process.poll() is None
        write(graph, "jazz", "news")
        process.send_signal(signal.SIGHUP)
        while "the list of streams was read again: 1 added" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 0
