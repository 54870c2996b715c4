"""An objective of somebody's own, in one file, is trained as those that come with Auricle are."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="networks are trained with torch")
pytest.importorskip("lightning", reason="networks are trained with Lightning")
pytest.importorskip("pyarrow", reason="manifests are Parquet")

import torch
from click.testing import CliRunner
from pydantic import Field
from torch import Tensor, nn

from auricle.errors import RecipeError, TrainingError
from auricle.train import cli
from auricle.training.data.manifest import Part
from auricle.training.objectives import OBJECTIVES, find_objective
from auricle.training.objectives.objective import Objective
from auricle.training.objectives.system import System
from auricle.training.recipe import ObjectiveSpec, Recipe
from auricle.training.run.fit import fit
from auricle.training.run.folder import load_run
from auricle.training.run.recipes import load_recipe
from auricle.training.sampling.batches import Batch
from auricle.training.testing import make_material
from tests.training.runs import recipe

KIND = f"{__name__}:Toy"


class ToySpec(ObjectiveSpec):
    target: float = Field(0.5, ge=0)

    def check(self, recipe: Recipe) -> None:
        if recipe.mixup:
            raise ValueError("mixup: not with a toy")


class Toy(Objective[ToySpec]):
    """Two batches of noise, of two classes."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.classes = ("first", "second")

    def batches(self, part: Part, epoch: int) -> list[Batch]:
        generator = torch.Generator().manual_seed(epoch)
        size = (self.recipe.batch_size, self.recipe.segment_size, 96)
        return [{"mel": torch.rand(*size, generator=generator)} for _ in range(2)]

    def system(self, network: nn.Module) -> System:
        return ToySystem(self.recipe, network)

    def unmeasured(self) -> tuple[str, ...]:
        return ("second",)


class ToySystem(System):
    goal = "validation/loss"

    def loss(self, batch: Batch) -> Tensor:
        assert isinstance(self.recipe.objective, ToySpec)
        logits, _ = self.network(self.normalised(batch["mel"]))
        return ((logits - self.recipe.objective.target) ** 2).mean()

    def validation_step(self, batch: Batch, number: int) -> None:
        self.log(self.goal, self.loss(batch))


def test_two_steps(tmp_path: Path) -> None:
    chosen = recipe({"kind": KIND, "target": 3.0}, epochs=1)
    said: list[str] = []
    material = make_material(tmp_path / "features")
    fit(chosen, material, tmp_path / "run", 0, "cpu", False, said.append)
    assert said == [
        f"{tmp_path}/run/run.json: unmeasured: 1 of 2 tags, which all tracks of the validation "
        "part have, or none: second"
    ]
    steps = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"]
    assert steps == 2
    loaded, network, notes = load_run(tmp_path / "run")
    assert loaded == chosen
    assert notes["classes"] == ["first", "second"]
    assert network(torch.zeros(1, 40, 96))[0].shape == (1, 2)


def test_by_the_command_with_a_short_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "toy", KIND)
    make_material(tmp_path / "features").manifest.save(tmp_path / "corpus.parquet")
    (tmp_path / "toy.yaml").write_text(recipe({"kind": "toy"}, epochs=1).to_yaml())
    names = [str(tmp_path / name) for name in ("toy.yaml", "corpus.parquet", "features")]
    options = ["--out", str(tmp_path / "run"), "--accelerator", "cpu"]
    done = CliRunner().invoke(cli, ["fit", *names, *options, "--set", "objective.target=1"])
    assert done.exit_code == 0, done.output
    assert load_run(tmp_path / "run")[0].objective == ToySpec(kind="toy", target=1)


def test_too_few_batches(tmp_path: Path) -> None:
    chosen = recipe({"kind": KIND}, batches_per_step=3)
    message = (
        "^part 'train': 2 batches of 4, must be 3 or more; make batch_size smaller, or "
        "crops_per_track greater$"
    )
    with pytest.raises(TrainingError, match=message):
        fit(chosen, make_material(tmp_path / "features"), tmp_path / "run", 0, "cpu", False)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("tag", r"no objective 'tag' \(did you mean tags\?\); there are: tags, associations, "),
        (["tags"], r"no objective \['tags'\]"),
        ("nowhere:Toy", "'nowhere:Toy' cannot be imported: No module named 'nowhere'"),
        (f"{__name__}:Joy", f"'{__name__}:Joy' cannot be imported: .* has no attribute 'Joy'"),
        (f"{__name__}:ToySpec", f"'{__name__}:ToySpec' is not an objective"),
    ],
)
def test_kinds_that_are_not_there(kind: str, message: str) -> None:
    with pytest.raises(RecipeError, match=f"^objective.kind: {message}"):
        find_objective(kind)


def test_its_fields_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text(recipe({"kind": KIND}).to_yaml())
    for changes, message in (
        ({"objective.target": -1}, "objective.target=-1: input should be greater .* to 0"),
        ({"objective.aim": 1}, "no field 'objective.aim'; fields are: kind, target"),
        ({"mixup": 0.3}, "mixup: not with a toy"),
    ):
        with pytest.raises(RecipeError, match=f"^{file}: {message}$"):
            load_recipe(file, changes)
