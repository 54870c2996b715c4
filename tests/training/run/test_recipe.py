"""Recipes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from auricle.errors import RecipeError
from auricle.train import cli
from auricle.training.objectives.contrast import ContrastSpec
from auricle.training.objectives.tags import TagsSpec
from auricle.training.recipe import Maest, ResNet10
from auricle.training.run.recipes import load_recipe, make_recipe, recipe_names
from tests.training.commands.stored import command

SMALL = """
about: mine
objective: {kind: tags}
network: {name: resnet10}
segment_size: 128
epochs: 3
batch_size: 4
"""


def refused(file: Path, content: str, *parts: str) -> None:
    """That there is one line, with the file, and with these."""
    file.write_text(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    text = str(caught.value)
    assert "\n" not in text
    for part in (str(file), *parts):
        assert part in text, text


@pytest.mark.parametrize("name", recipe_names())
def test_those_that_come_with_auricle(name: str, tmp_path: Path) -> None:
    chosen = load_recipe(name)
    assert chosen.about
    # With all its fields, it is the same again.
    (tmp_path / "copy.yaml").write_text(chosen.to_yaml())
    assert load_recipe(tmp_path / "copy.yaml") == chosen


def test_each_paper_has_its_recipes() -> None:
    names = set(recipe_names())
    assert {"effnet-style", "cola-multitask", "maest-30s", "student"} <= names
    for name in (
        "effnet-style",
        "cola-track",
        "cola-release",
        "cola-artist",
        "cola-label",
        "cola-multitask",
    ):
        assert f"{name}-small" in names
    assert "maest-small" in names
    small, taught = (
        load_recipe(name).model_dump() for name in ("maest-small", "maest-taught-small")
    )
    assert taught["objective"].pop("taught")
    assert not small["objective"].pop("taught")
    assert {**taught, "about": ""} == {**small, "about": ""}


def test_values_of_the_papers() -> None:
    cola, maest = load_recipe("cola-multitask"), load_recipe("maest-10s")
    assert isinstance(cola.objective, ContrastSpec)
    assert cola.objective.weights == {"track": 0.1, "release": 0.15, "artist": 0.6, "label": 0.15}
    assert cola.segment_size == 128
    assert isinstance(maest.network, Maest)
    # 10 s have half the columns of 20 s to lose; the rest is that of 30 s.
    assert (maest.segment_size, maest.network.s_patchout_t, maest.network.s_patchout_f) == (
        625,
        30,
        3,
    )
    assert maest.mixup == 0.3


def test_what_extends_has_the_rest_of_the_other(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        SMALL + "optimizer: {lr: 0.5, weight_decay: 0.25}\nseed: 4\n"
    )
    (tmp_path / "mine.yaml").write_text(
        "extends: base.yaml\nnetwork: {dropout: 0.5}\noptimizer: {lr: 0.125}\n"
        "objective: {most_tags: 2}\n"
    )
    chosen = load_recipe(tmp_path / "mine.yaml")
    assert chosen.seed == 4
    assert isinstance(chosen.network, ResNet10)
    assert chosen.network.dropout == 0.5
    assert chosen.objective == TagsSpec(kind="tags", most_tags=2)
    assert chosen.optimizer.lr == 0.125
    other = {"extends": "base.yaml", "network": {"name": "resnet50"}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
    assert load_recipe(tmp_path / "other.yaml").network.name == "resnet50"


def test_parts_without_a_kind_are_merged_too(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SMALL + "optimizer: {lr: 0.5, weight_decay: 0.25}\n")
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\noptimizer: {lr: 0.125}\n")
    optimizer = load_recipe(tmp_path / "mine.yaml").optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (0.125, 0.25)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (
            "leraning_rate: 1",
            ["no field 'leraning_rate'; fields are: about, objective, network, "],
        ),
        (
            "optimizer: {momentum: 1}",
            ["no field 'optimizer.momentum'; fields are: name, lr, weight_decay"],
        ),
        ("averaging: {end: 1}", ["no field 'averaging.end'; fields are: begin, every"]),
        (
            "network: {name: resnet10, depth: 3}",
            ["no field 'network.depth'; fields are: name, widths, "],
        ),
        ("network: {name: resnet11}", ["network", "resnet11", "'resnet10'"]),
        ("epochs: many", ["epochs", "integer"]),
        ("epochs: -1", ["epochs", "greater than or equal to 0"]),
        ("precision: 8", ["precision", "'32-true'"]),
        ("averaging: {begin: 9}", ["averaging.begin=9: there are 3 epochs"]),
        ("objective: {kind: tags, taught: true}", ["objective.taught: only maest"]),
        ("objective: {kind: associations, weights: {}}", ["objective.weights"]),
        (
            "objective: {kind: associations, weights: {year: 1}}",
            ["objective.weights.year", "'artist'"],
        ),
        (
            "mixup: 0.3\nobjective: {kind: associations, weights: {track: 1}}",
            ["not with associations"],
        ),
        (
            "schedule: {name: cosine, patience: 3}",
            ["no field 'schedule.patience'; fields are: name, warm_up"],
        ),
    ],
)
def test_fields_that_cannot_be_used(tmp_path: Path, line: str, parts: list[str]) -> None:
    content: dict[str, Any] = {**yaml.safe_load(SMALL), **yaml.safe_load(line)}
    refused(tmp_path / "mine.yaml", yaml.safe_dump(content), *parts)


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    refused(file, "a: [", "not a recipe")
    refused(file, "- 1", "it has no fields")
    refused(file, "", "it has no fields")
    refused(file, "extends: [1]", "extends: [1] must be the name of a recipe")
    refused(file, "extends: mine.yaml", "extends: itself")
    refused(file, SMALL.replace("epochs: 3", ""), "field 'epochs' is missing")
    (tmp_path / "a.yaml").write_text("extends: ../" + tmp_path.name + "/b.yaml")
    (tmp_path / "b.yaml").write_text("extends: a.yaml")
    with pytest.raises(RecipeError, match=r"^\S+a\.yaml: extends: itself, by way of b\.yaml$"):
        load_recipe(tmp_path / "a.yaml")
    with pytest.raises(RecipeError, match=r"none\.yaml: not a recipe: .*No such file"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(
        RecipeError, match=r"no recipe 'cola'; there are: cola-artist, .*, or give a file"
    ):
        load_recipe("cola")


def test_changes(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SMALL)
    changes = {"optimizer.lr": 0.5, "epochs": 7, "averaging.begin": 2}
    chosen = load_recipe(tmp_path / "mine.yaml", changes)
    assert (chosen.optimizer.lr, chosen.epochs) == (0.5, 7)
    assert chosen.averaging is not None
    for unusable, part in (
        ({"epochs.most": 1}, "epochs.most: epochs has no fields"),
        ({"optimizer.rl": 1}, "no field 'optimizer.rl'"),
    ):
        with pytest.raises(RecipeError, match=re.escape(f"{tmp_path}/mine.yaml: {part}")):
            load_recipe(tmp_path / "mine.yaml", unusable)


def test_another_network_has_its_own_fields(tmp_path: Path) -> None:
    content = SMALL.replace("resnet10", "resnet10, widths: [2, 2, 4, 4, 8], dropout: 0.5")
    (tmp_path / "mine.yaml").write_text(content + "optimizer: {name: adam, lr: 0.5}\n")
    changes = {"network.width": 96, "network.name": "maest", "optimizer.name": "adamw"}
    chosen = load_recipe(tmp_path / "mine.yaml", changes)
    assert chosen.network == Maest(name="maest", width=96)
    assert chosen.optimizer.lr == 0.5
    same = load_recipe(tmp_path / "mine.yaml", {"network.name": "resnet10"})
    assert same.network == ResNet10(name="resnet10", widths=(2, 2, 4, 4, 8), dropout=0.5)


def test_no_epochs_need_no_averaging() -> None:
    assert load_recipe("maest-small", {"epochs": 0}).averaging is not None


def test_the_commands(tmp_path: Path) -> None:
    listed = command("recipes")
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == recipe_names()
    shown = command("recipes", "cola-artist-small")
    assert make_recipe(yaml.safe_load(shown.stdout)) == load_recipe("cola-artist-small")

    arguments = ["fit", "student", "no.parquet", "no", "--out", str(tmp_path)]
    for change, said in (
        ("epochs", "--set epochs: not of the form FIELD=VALUE"),
        ("epoch=1", "no field 'epoch'"),
        ("optimizer.lr={", "--set optimizer.lr={: not YAML: while parsing a flow node"),
    ):
        wrong = CliRunner().invoke(cli, [*arguments, "--set", change])
        assert wrong.exit_code == 2
        assert said in wrong.stderr
        assert wrong.stderr.count("\n") == 1
