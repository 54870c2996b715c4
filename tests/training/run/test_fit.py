"""Training runs: what they leave, going on after a kill, several processes."""

from __future__ import annotations

import csv
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="networks are trained with torch")
pytest.importorskip("lightning", reason="networks are trained with Lightning")
pytest.importorskip("pyarrow", reason="manifests are Parquet")

import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from auricle.errors import TrainingError
from auricle.models.files import write_atomically
from auricle.train import cli
from auricle.training.data.manifest import Manifest
from auricle.training.data.material import Material
from auricle.training.data.store import Rows, Store
from auricle.training.recipe import Recipe
from auricle.training.run import checkpoints
from auricle.training.run.fit import fit, make_system
from auricle.training.run.folder import load_run
from auricle.training.run.loaders import Loaders
from auricle.training.sampling.batches import VALIDATION_EPOCH
from auricle.training.testing import make_material
from tests.training.runs import MAEST, RESNET, TAGS, objective, recipe

ROOT = Path(__file__).parents[3]

AVERAGED = {
    "mixup": 0.3,
    "spec_augment": {"time_masks": 2, "time_width": 4},
    "averaging": {"begin": 2, "every": 1},
    "schedule": {"name": "warm_up_linear", "warm_up": 2, "decay_from": 2, "decay": 2},
    "optimizer": {"name": "adamw", "lr": 3e-3, "weight_decay": 0.1},
    "epochs": 4,
}
CONTRAST = {"kind": "associations", "weights": {"track": 0.3, "release": 0.7}, "width": 8}

RECIPES = {
    # So high a rate that the loss does not fall all the time.
    "plateau": recipe(
        TAGS,
        {**RESNET, "dropout": 0.3},
        schedule={"name": "plateau", "patience": 1},
        epochs=6,
        optimizer={"lr": 0.3},
    ),
    "averaged": recipe(TAGS, MAEST, **AVERAGED),
    "cosine": recipe(CONTRAST, schedule={"name": "cosine"}, crops_per_track=2, batches_per_step=2),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Failing(Store):
    """Features that end in an error after some have been read."""

    def __init__(
        self, folder: Path, good_for: int, error: type[BaseException] = RuntimeError
    ) -> None:
        super().__init__(folder)
        self.good_for, self.error = good_for, error

    def __contains__(self, track_id: object) -> bool:
        return track_id in list(self)

    def __getitem__(self, track_id: str) -> Rows:
        if not self.good_for:
            raise self.error("no more")
        self.good_for -= 1
        return super().__getitem__(track_id)


def reads(chosen: Recipe, whole: Material) -> int:
    """How often features are read in an epoch, its validation included."""
    counting = Failing(whole.features.folder, 10**9)
    loaders = Loaders(objective(chosen, Material(whole.manifest, counting)))
    for batches in (loaders.batches("train", 0), loaders.batches("validation", VALIDATION_EPOCH)):
        for number in range(len(batches)):
            batches[number]
    return 10**9 - counting.good_for


def run(chosen: Recipe, whole: Material, folder: Path) -> dict[str, float]:
    return fit(chosen, whole, folder, accelerator="cpu", progress=False)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same(one: Path, other: Path, atol: float = 0.0) -> None:
    ours, theirs = load_file(one / "network.safetensors"), load_file(other / "network.safetensors")
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(
            ours[name], theirs[name], rtol=0, atol=atol, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_what_a_run_leaves(tmp_path: Path) -> None:
    whole = make_material(tmp_path / "features")
    chosen = recipe(TAGS, seed=7)
    figures = run(chosen, whole, tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        *(
            "recipe.yaml",
            "run.json",
            "last.ckpt",
            "best.safetensors",
            "network.safetensors",
            "metrics.csv",
        ),
        "logs",
    }
    notes = json.loads((tmp_path / "run" / "run.json").read_text())
    assert notes["seed"] == 7
    assert notes["classes"] == ["ambient", "techno"]
    assert notes["tracks"] == {"train": 16, "validation": 8}
    assert notes["figures"] == figures
    assert notes["commit"]
    rows = rows_of(tmp_path / "run")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["step"] for row in rows] == ["4", "8", "12"]
    # What is left is of the best epoch, and validates as that did.
    best = max(rows, key=lambda row: float(row["validation/average_precision"]))
    assert figures["validation/loss"] == pytest.approx(float(best["validation/loss"]), abs=1e-6)
    loaded, network, _ = load_run(tmp_path / "run")
    assert loaded == chosen
    assert not network.training


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("epochs", [1.0, 2.0, 2.5])
def test_going_on_is_as_if_nothing_had_been(tmp_path: Path, name: str, epochs: float) -> None:
    chosen, whole = RECIPES[name], make_material(tmp_path / "features")
    expected = run(chosen, whole, tmp_path / "whole")
    # Once after a while, and then in the first batch.
    for good_for in (int(epochs * reads(chosen, whole)) + 2, 2):
        broken = Material(whole.manifest, Failing(tmp_path / "features", good_for))
        with pytest.raises(RuntimeError, match="no more"):
            run(chosen, broken, tmp_path / "run")
    assert (tmp_path / "run" / "last.ckpt").exists()
    assert not (tmp_path / "run" / "network.safetensors").exists()
    assert run(chosen, whole, tmp_path / "run") == expected
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_another_recipe_or_other_classes_in_the_folder(tmp_path: Path) -> None:
    whole = make_material(tmp_path / "features")
    run(recipe(TAGS, epochs=1), whole, tmp_path / "run")
    with pytest.raises(
        TrainingError, match=r"run: has a run of another recipe; choose another folder"
    ):
        run(recipe(TAGS, epochs=2), whole, tmp_path / "run")
    renamed = [
        replace(track, genres=tuple(name.replace("techno", "house") for name in track.genres))
        for track in whole.manifest
    ]
    other = Material(Manifest(renamed), whole.features)
    with pytest.raises(
        TrainingError, match=r"run: has a run of other classes; choose another folder"
    ):
        run(recipe(TAGS, epochs=1), other, tmp_path / "run")


def test_other_tracks_in_the_folder(tmp_path: Path) -> None:
    whole, chosen = make_material(tmp_path / "features"), recipe(TAGS, epochs=1)
    figures = run(chosen, whole, tmp_path / "run")
    other = Material(Manifest([*whole.manifest][:-1]), whole.features)
    refused = (
        r"run: has a run on other tracks or parts, mel frames or teachers; choose another folder$"
    )
    with pytest.raises(TrainingError, match=refused):
        run(chosen, other, tmp_path / "run")
    assert run(chosen, whole, tmp_path / "run") == figures
    # A run of an earlier version does not say what it is on.
    file = tmp_path / "run" / "run.json"
    notes = json.loads(file.read_bytes())
    del notes["material"]
    file.write_text(json.dumps(notes))
    assert run(chosen, other, tmp_path / "run").keys() == figures.keys()


@pytest.mark.parametrize(
    ("file", "name"), [("rock.parquet", "rock"), ("games/manifest.parquet", "games")]
)
def test_the_name_of_the_corpus(tmp_path: Path, file: str, name: str) -> None:
    whole, arguments = prepare(tmp_path, recipe(TAGS, epochs=0))
    (tmp_path / "games").mkdir()
    whole.manifest.save(tmp_path / file)
    arguments[3] = str(tmp_path / file)
    done = CliRunner().invoke(cli, [*arguments[1:], str(tmp_path / "run")])
    assert done.exit_code == 0, done.stderr
    assert load_run(tmp_path / "run")[2]["corpus"] == name


def test_a_run_that_is_not_finished(tmp_path: Path) -> None:
    whole = make_material(tmp_path / "features")
    broken = Material(whole.manifest, Failing(tmp_path / "features", 50))
    with pytest.raises(RuntimeError):
        run(recipe(TAGS), broken, tmp_path / "run")
    with pytest.raises(
        TrainingError, match=r"run: not a finished run: .*; auricle-train fit continues it"
    ):
        load_run(tmp_path / "run")


def test_the_mean_is_that_of_the_epochs_that_count(tmp_path: Path) -> None:
    whole = make_material(tmp_path / "features")
    settings = {"epochs": 5, "averaging": {"begin": 2, "every": 2}}
    run(recipe(TAGS, MAEST, **settings), whole, tmp_path / "run")
    # Those of epochs 2 and 4 (counted from 1), from runs that end there and average nothing else.
    parts = []
    for last in (2, 4):
        one = recipe(TAGS, MAEST, epochs=last, averaging={"begin": last})
        run(one, whole, tmp_path / str(last))
        parts.append(load_file(tmp_path / str(last) / "network.safetensors"))
    mean = load_file(tmp_path / "run" / "network.safetensors")
    for name, values in mean.items():
        expected = (parts[0][name] + parts[1][name]) / 2
        torch.testing.assert_close(
            values, expected, rtol=0, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert not torch.equal(parts[0]["head.1.weight"], parts[1]["head.1.weight"])


# -- the command, in separate processes ------------------------------------------------------------


def prepare(folder: Path, chosen: Recipe) -> tuple[Material, list[str]]:
    """What a run in `folder` learns from, and its arguments but the last."""
    whole = make_material(folder / "features")
    whole.manifest.save(folder / "corpus.parquet")
    (folder / "recipe.yaml").write_text(chosen.to_yaml())
    names = [str(folder / name) for name in ("recipe.yaml", "corpus.parquet", "features")]
    return whole, ["auricle.train", "fit", *names, "--accelerator", "cpu", "--out"]


def start(arguments: list[Any], *before: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *before, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a script starts in the background is born with interrupts ignored, and so are its
        # children.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def stopped(arguments: list[Any], folder: Path, how: int) -> tuple[int, str]:
    """Exit code and errors of a run that gets a signal some time after its first checkpoint."""
    file = folder / "last.ckpt"
    before = file.stat().st_mtime_ns if file.exists() else 0
    process = start(arguments)
    while not file.exists() or file.stat().st_mtime_ns == before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(how)
    said = process.communicate(timeout=500)[1]
    return process.returncode, said


LONG = recipe(TAGS, {**RESNET, "dropout": 0.3}, epochs=8, crops_per_track=4)


def test_going_on_after_a_kill_and_an_interrupt(tmp_path: Path) -> None:
    whole, arguments = prepare(tmp_path, LONG)
    arguments.append(str(tmp_path / "run"))
    assert stopped(arguments, tmp_path / "run", signal.SIGKILL) == (-signal.SIGKILL, "")
    said = "interrupted; the same command continues behind the last whole epoch\n"
    assert stopped(arguments, tmp_path / "run", signal.SIGINT) == (130, said)
    assert not (tmp_path / "run" / "network.safetensors").exists()
    done = start(arguments)
    out, err = done.communicate(timeout=500)
    assert (done.returncode, err) == (0, "")
    assert (
        out.splitlines()[-1]
        == f"{tmp_path}/run: auricle-train export {tmp_path}/run FOLDER makes a model of it"
    )
    run(LONG, whole, tmp_path / "whole")
    assert_same(tmp_path / "run", tmp_path / "whole")
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")


def test_tags_that_validation_cannot_measure_are_named(tmp_path: Path) -> None:
    whole, arguments = prepare(tmp_path, recipe(TAGS, epochs=0))
    renamed = [
        replace(track, genres=(*track.genres, "new")) if track.part == "train" else track
        for track in whole.manifest
    ]
    Manifest(renamed).save(tmp_path / "corpus.parquet")
    done = CliRunner().invoke(cli, [*arguments[1:], str(tmp_path / "run")])
    assert done.exit_code == 0, done.stderr
    what = "1 of 3 tags, which all tracks of the validation part have, or none: new"
    assert done.stderr == f"{tmp_path}/run/run.json: unmeasured: {what}\n"
    assert json.loads((tmp_path / "run" / "run.json").read_bytes())["unmeasured"] == ["new"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, arguments = prepare(tmp_path, recipe(TAGS))

    def until_full(path: Path, content: bytes) -> None:
        if path.name == "last.ckpt" and path.exists():
            raise OSError(28, "No space left on device", str(path))
        write_atomically(path, content)

    with monkeypatch.context() as full:
        full.setattr(checkpoints, "write_atomically", until_full)
        refused = CliRunner().invoke(cli, [*arguments[1:], str(tmp_path / "run")])
    assert refused.exit_code == 1
    assert (
        "No space left on device; what is whole is kept, and the same command continues"
        in refused.stderr
    )
    assert refused.stderr.endswith(f": '{tmp_path}/run/last.ckpt'\n")
    assert refused.stderr.count("\n") == 1
    expected = run(recipe(TAGS), whole, tmp_path / "whole")
    assert run(recipe(TAGS), whole, tmp_path / "run") == expected
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_two_processes_make_the_steps_of_one(tmp_path: Path) -> None:
    # Batch norm and contrast stay within a batch, and no batch is split.
    chosen = recipe(CONTRAST, epochs=1, crops_per_track=2, batches_per_step=2)
    whole, arguments = prepare(tmp_path, chosen)
    run(chosen, whole, tmp_path / "one")
    two = start([*arguments, tmp_path / "two"], "torch.distributed.run", "--nproc-per-node=2", "-m")
    out, said = two.communicate(timeout=500)
    assert two.returncode == 0, said
    trained = [load_file(tmp_path / name / "best.safetensors") for name in ("one", "two")]
    untrained = dict(make_system(objective(chosen, whole)).named_parameters())
    for name, start_value in untrained.items():
        torch.testing.assert_close(trained[0][name], trained[1][name], rtol=0, atol=2e-6)
        if "classifier" not in name:
            assert not torch.equal(trained[0][name], start_value), name
    assert out.count("auricle-train export") == 1


def test_no_epochs_give_the_network_as_it_began(tmp_path: Path) -> None:
    whole = make_material(tmp_path)
    chosen = recipe(CONTRAST, epochs=0, seed=3, averaging={"begin": 2})
    run(chosen, whole, tmp_path / "random")
    began = make_system(objective(chosen, whole)).network.state_dict()
    given = load_run(tmp_path / "random")[1].state_dict()
    assert all(torch.equal(value, given[name]) for name, value in began.items())


def test_begun_with_the_network_of_another_run(tmp_path: Path) -> None:
    whole = make_material(tmp_path)
    run(recipe(TAGS, RESNET, epochs=1), whole, tmp_path / "first")
    first = load_file(tmp_path / "first" / "network.safetensors")
    begun = recipe(CONTRAST, RESNET, initial=str(tmp_path / "first"))
    network = make_system(objective(begun, whole)).network.state_dict()
    for name, value in first.items():
        if not name.startswith("classifier"):
            assert torch.equal(value, network[name]), name
    again = recipe(TAGS, RESNET, initial=str(tmp_path / "first"))
    assert list(objective(again, whole).classes) == load_run(tmp_path / "first")[2]["classes"]
    same = make_system(objective(again, whole)).network.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    wider = recipe(CONTRAST, {**RESNET, "embedding_size": 9}, initial=str(tmp_path / "first"))
    with pytest.raises(
        TrainingError, match=r"first: initial: of another network; they differ in embedding"
    ):
        make_system(objective(wider, whole))
    with pytest.raises(TrainingError, match="nowhere: not a finished run"):
        make_system(objective(recipe(CONTRAST, RESNET, initial=str(tmp_path / "nowhere")), whole))
