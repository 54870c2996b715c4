"""Graph files with slips and traps in them: whatever they hold, it is refused in one line."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from auricle.errors import AuricleError, ConfigError, NodeError, escaped
from auricle.service.graph_file import LONGEST_FILE, read_graph_file
from auricle.service.template import StreamTemplate
from auricle.settings import parse_settings
from auricle.yaml_text import load_yaml
from tests.conftest import ROOT
from tests.mutation import VALUES, mutated_text

LONGEST_S = 60.0
"""Most seconds that one file may take, on a machine with much else to do."""


def try_graph(path: Path) -> str | None:
    """Build the graph and those of its streams; returns the refusal, if it is refused."""
    began = time.monotonic()
    try:
        template = StreamTemplate(read_graph_file(path), path.parent)
        for spec in template.specs:
            template.build(spec)
    except NodeError as error:
        raise AssertionError(f"a node did not foresee this: {error}") from error
    except AuricleError as error:
        text = str(error)
        assert escaped(text) == text
        assert len(text) < 1200
        return text
    finally:
        assert time.monotonic() - began < LONGEST_S
    return None


def try_mutations(folder: Path, name: str, seeds: range) -> int:
    """Returns how many of the mutated files are refused."""
    text = (ROOT / "graphs" / f"{name}.yaml").read_text()
    refused = 0
    for seed in seeds:
        path = folder / "mutated.yaml"
        path.write_text(mutated_text(random.Random(seed), text))
        try:
            refused += try_graph(path) is not None
        except Exception as error:
            raise AssertionError(f"seed {seed}: {path.read_text()[:2000]}") from error
    return refused


@pytest.mark.parametrize("name", ["live", "radio"])
def test_mutated_graph_files(tmp_path: Path, name: str) -> None:
    assert try_mutations(tmp_path, name, range(200, 350)) > 50


@pytest.mark.slow
@pytest.mark.parametrize("name", ["live", "radio"])
def test_many_mutated_graph_files(tmp_path: Path, name: str) -> None:
    assert try_mutations(tmp_path, name, range(10_000, 15_000)) > 1000


@pytest.mark.parametrize(
    "text",
    [
        "!!int x",
        "!!int ''",
        "!!timestamp x",
        "!!float x",
        "!!bool x",
        "2026-99-99",
        "[" * 100_000,
        "{a: " * 3000,
        "- " * 20_000 + "x",
        "&a [*a]",
        "&a {b: *a}",
        "a: &a [x, x, x, x]\n"
        + "\n".join(
            f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]"
            for a, b in zip("abcdefghijklmn", "bcdefghijklmno", strict=True)
        ),
        "\0",
        "'",
    ],
)
def test_what_is_not_yaml_or_too_much_of_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        load_yaml(text)


def test_what_is_yaml() -> None:
    assert load_yaml("a: &x [1, 2.5, true, ~, b]\nb: *x") == {
        "a": [1, 2.5, True, None, "b"],
        "b": [1, 2.5, True, None, "b"],
    }
    assert load_yaml("") is None


@pytest.mark.parametrize("value", VALUES)
def test_settings_of_any_value(value: str) -> None:
    reasons = []
    try:
        parse_settings([f"a.b={value}"])
    except ConfigError as error:
        reasons.append(str(error))
    assert list(map(escaped, reasons)) == reasons


@pytest.mark.parametrize(
    "name", [":", ":x", "..x:Y", ".:Y", " :a", "a b:c", "\0:a", "os:", "os:path"]
)
def test_class_names_of_any_form(tmp_path: Path, name: str) -> None:
    text = (ROOT / "graphs" / "live.yaml").read_text()
    path = tmp_path / "graph.yaml"
    path.write_text(text.replace("class: Microphone", f'class: "{name}"').replace("\0", "\\0"))
    assert (try_graph(path) or "").startswith("input: ")


def test_a_list_whose_name_no_file_can_have(tmp_path: Path) -> None:
    path = tmp_path / "graph.yaml"
    text = (ROOT / "graphs" / "radio.yaml").read_text()
    path.write_text(text.replace("radio.txt", '"\\ud800"'))
    assert (try_graph(path) or "").startswith("streams.sources: ")


def test_a_file_without_an_end_is_not_read_for_ever() -> None:
    with pytest.raises(ConfigError, match=f"longer than {LONGEST_FILE} bytes"):
        read_graph_file(Path("/dev/zero"))
