"""The pages are built without a warning, name files that are there, and say what the graphs do."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from auricle.engine.context import Context
from auricle.engine.graph import Graph
from auricle.engine.scheduler import run_offline
from auricle.engine.stream import Stream
from auricle.nodes.aggregator import Aggregator
from auricle.nodes.predictions import Event
from auricle.service.building import build_graph
from auricle.service.overrides import load_graph
from tests.docs.blocks import ROOT, pages

LONGEST_README = 700
"""Words, as `wc -w` counts them."""

FOLDERS = ("auricle", "bench", "docs", "engine", "graphs", "models", "nodes", "tests", "training")


def prose(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.skipif(find_spec("sphinx") is None, reason="needs the extra docs")
def test_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), "docs", str(tmp_path / "html")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    nodes = (tmp_path / "html/generated/nodes.html").read_text(encoding="utf-8")
    assert "MelSpectrogram" in nodes


def test_readme_is_short() -> None:
    assert len(prose("README.md").split()) <= LONGEST_README


@pytest.mark.parametrize("page", pages())
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", prose(page))
    folder = (ROOT / page).parent
    missing = [link for link in links if not (folder / link).exists()]
    made = [link for link in missing if "generated/" in link]
    assert missing == made


@pytest.mark.parametrize("page", pages())
def test_files_in_the_text_exist(page: str) -> None:
    named = re.findall(r"`((?:" + "|".join(FOLDERS) + r")/[\w./-]*)`", prose(page))
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("page", pages())
def test_words_are_those_of_the_language(page: str) -> None:
    found = re.findall(
        r"\b(?:likewise|anew|(?<!there )is none|told|tells? of|hears? of|of theirs|goes on)\b",
        prose(page),
    )
    assert not found


# -- the example of docs/latency.md ----------------------------------------------------------------

CHANGE_S = 17.28
"""Where the demo clip turns into techno; `graphs/demo/render.py`."""


def demo() -> Graph:
    """The demo's graph, at full speed."""
    path = ROOT / "graphs/demo.yaml"
    return build_graph(load_graph(path, {"input.realtime": False}), path.parent)


def techno() -> tuple[Stream, list[float], list[float], dict[str, tuple[int, Event]]]:
    """Activations of techno, plain and smoothed, by segment, and events with their segment."""
    graph = demo()
    tags = graph.nodes["tags"]
    assert isinstance(tags, Aggregator)
    plain: list[float] = []
    smoothed: list[float] = []
    events: dict[str, tuple[int, Event]] = {}
    compute = tags.compute

    def watched(windows: Any, outputs: Any) -> None:
        compute(windows, outputs)
        for row, prediction in enumerate(windows):
            (scores,) = prediction.scores
            (after,) = outputs["predictions"][row].scores
            index = scores.labels.index("techno")
            for event in outputs["events"][row].events:
                if event.label == "techno":
                    events[event.change] = len(plain), event
            plain.append(float(scores.activations[index]))
            smoothed.append(float(after.activations[index]))

    tags.compute = watched  # type: ignore[method-assign]
    run_offline(graph, Context(outlet=Mock()))
    return graph.nodes["backbone"].outputs["predictions"].stream, plain, smoothed, events


def test_the_worked_example_of_latency_is_true() -> None:
    stream, plain, smoothed, events = techno()

    def row(what: str, segment: int) -> str:
        start, end = (float(each) for each in stream.seconds(segment))
        return f"| {what} | {start:.2f} to {end:.2f} s | {end:.2f} s | {end - CHANGE_S:.2f} s |"

    def first(activations: list[float], threshold: float) -> int:
        return next(i for i, each in enumerate(activations) if each >= threshold)

    page = prose("docs/latency.md")
    at, event = events["on"]
    assert row("activation reaches 0.3, half of its later value", first(plain, 0.3)) in page
    assert row("activation reaches 0.4, not smoothed", first(plain, 0.4)) in page
    assert row("activation reaches 0.4, smoothed", first(smoothed, 0.4)) in page
    assert row("the event `on` is published: 0.4 or more for a second", at) in page
    assert f"{float(event.at):.2f} s, which is {float(event.at) - CHANGE_S:.2f} s\n" in page


@pytest.mark.parametrize("name", ["demo", "live", "radio"])
def test_the_delays_of_the_shipped_graphs_are_true(name: str) -> None:
    path = ROOT / f"graphs/{name}.yaml"
    graph = build_graph(load_graph(path, {}), path.parent)
    backbone, tags = graph.nodes["backbone"], graph.nodes["tags"]
    assert isinstance(tags, Aggregator)
    (port,) = backbone.inputs.values()
    frame_s = 1 / float(port.reader.stream.token_type.rate)
    window_s, hop_s = port.frame_size * frame_s / 2, port.hop_size * frame_s
    window = tags.params.window_s
    if tags.params.smoothing == "mean":
        how, smoothing_s = "mean over", (round(window / hop_s) - 1) * hop_s / 2
    else:
        how, smoothing_s = "exponential,", math.log(2) * window
    together = window_s + hop_s / 2 + smoothing_s
    assert (
        f"| `{name}.yaml` | {window_s:.2f} s | {hop_s / 2:.2f} s "
        f"| {how} {window:g} s: {smoothing_s:.2f} s | {together:.1f} s |"
    ) in prose("docs/latency.md")
