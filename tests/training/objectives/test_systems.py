"""What is trained: its losses on a batch, and that they fall."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks are trained with torch")
pytest.importorskip("lightning", reason="networks are trained with Lightning")
pytest.importorskip("pyarrow", reason="manifests are Parquet")

import torch
from torch import Tensor, nn

from auricle.training.objectives.contrast import ContrastiveSystem
from auricle.training.objectives.distillation import Student
from auricle.training.objectives.losses import contrastive_loss, multi_label_loss, teacher_labels
from auricle.training.objectives.system import System
from auricle.training.objectives.tags import Tagging
from auricle.training.recipe import Recipe
from auricle.training.run.backbones import build
from auricle.training.run.fit import fit
from auricle.training.testing import make_material
from tests.training.runs import MAEST, RESNET, TAGS, recipe

CLASSES = 3
EFFNET = {"name": "efficientnet_b0", "dropout": 0.0, "drop_path": 0.0}
WIDER = {**MAEST, "width": 32}
ALL = {"track": 0.1, "release": 0.15, "artist": 0.6, "label": 0.15}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def associations(**weights: float) -> dict[str, Any]:
    return {"kind": "associations", "weights": weights, "width": 8}


def mel(*shape: int) -> Tensor:
    return torch.rand(*shape, 40, 96, generator=torch.Generator().manual_seed(1))


def batch_of(objective: dict[str, Any]) -> dict[str, Tensor]:
    """Eight segments, or six pairs."""
    generator = torch.Generator().manual_seed(2)
    if objective["kind"] == "associations":
        names = objective["weights"]
        pairs = {name: mel(2, 6) + index for index, name in enumerate(names)}
        return pairs | {f"{name} alike": torch.eye(6, dtype=torch.bool) for name in names}
    batch = {"mel": mel(8)}
    if objective["kind"] == "teachers":
        batch["activations"] = torch.rand(8, CLASSES, generator=generator)
        for index, size in enumerate((5, 7)):
            batch[f"embeddings {index}"] = torch.randn(8, size, generator=generator)
        return batch
    batch["targets"] = (torch.rand(8, CLASSES, generator=generator) > 0.5).float()
    batch["mel"][:, :, :90] += 2 * batch["targets"].repeat_interleave(30, 1)[:, None]
    if objective.get("taught"):
        batch["taught"] = 0.1 + 0.8 * batch["targets"].flip(1)
    return batch


def system_of(chosen: Recipe, network: nn.Module | None = None) -> System:
    """What `auricle.training.run.fit` makes, without material; it logs nowhere."""
    network = network or build(chosen.network, CLASSES, chosen.segment_size)
    made: System
    match chosen.objective.kind:
        case "tags":
            made = Tagging(chosen, network)
        case "associations":
            made = ContrastiveSystem(chosen, network)
        case "teachers":
            made = Student(chosen, network, (5, 7))
    made._trainer = SimpleNamespace(world_size=1, current_epoch=0, global_rank=0)
    made.log = made.log_dict = lambda *args, **options: None
    return made


AUGMENTED = {"mixup": 0.3, "spec_augment": {"time_masks": 2, "time_width": 4, "band_masks": 1}}

CASES = {
    "tags": (TAGS, RESNET),
    "tags of efficientnet": (TAGS, EFFNET),
    "tags of maest": (TAGS, WIDER),
    "maest taught": ({**TAGS, "taught": True}, WIDER),
    "associations": (associations(artist=1.0), RESNET),
    "multitask": (associations(**ALL), RESNET),
    "teachers": ({"kind": "teachers", "embeddings": 0.5, "temperature": 2.0}, RESNET),
}


@pytest.mark.parametrize("name", CASES)
def test_the_loss_falls_on_one_batch(name: str) -> None:
    objective, network = CASES[name]
    system = system_of(recipe(objective, network)).train()
    batch = batch_of(objective)
    optimizer = torch.optim.Adam(system.parameters(), 0.001 if network is EFFNET else 0.01)
    losses = []
    for _ in range(8 if network is EFFNET else 50):
        loss = system.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.85 * losses[0], losses


def test_every_weight_that_should_learn_does() -> None:
    for name, (objective, network) in CASES.items():
        system = system_of(recipe(objective, network)).train()
        system.loss(batch_of(objective)).backward()
        idle = {n for n, p in system.named_parameters() if p.grad is None or not p.grad.any()}
        expected = set()
        if "associations" in name or "multitask" in name:
            expected = {n for n, _ in system.named_parameters() if "classifier" in n}
            # The same for every column of a row, or normalised away.
            expected |= {n for n in idle if n.endswith("shift")}
        if network is WIDER and not objective.get("taught"):
            expected = {n for n, _ in system.named_parameters() if "head_dist" in n}
        assert {n for n in idle if "pos_embed" not in n} == expected, name


def test_gradients_of_the_shared_encoder_are_the_weighted_sum() -> None:
    weights = {"track": 0.3, "release": 0.7}
    both = system_of(recipe(associations(**weights))).train()
    batch = batch_of(both.recipe.objective.model_dump())
    both.loss(batch).backward()
    total = {
        name: p.grad.clone() for name, p in both.network.named_parameters() if p.grad is not None
    }
    expected = {name: torch.zeros_like(value) for name, value in total.items()}
    for name, weight in weights.items():
        alone = system_of(recipe(associations(**{name: 1.0})), both.network).train()
        alone.load_state_dict(both.state_dict(), strict=False)
        alone.zero_grad()
        alone.loss(batch).backward()
        for each, parameter in alone.network.named_parameters():
            if parameter.grad is not None:
                expected[each] += weight * parameter.grad
    for name, value in total.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)


def test_the_contrast_is_of_anchors_to_positives() -> None:
    system = system_of(recipe(associations(artist=1.0), mean=0.5, std=0.25)).eval()
    assert isinstance(system, ContrastiveSystem)
    # Far apart, or which side is which would not be seen.
    alike = torch.eye(6, dtype=torch.bool)
    alike[4, 1] = True
    batch = {"artist": mel(2, 6) * torch.arange(12).view(2, 6, 1, 1), "artist alike": alike}
    system.similarities["artist"].weight.data *= 50
    with torch.no_grad():
        _, embeddings = system.network((batch["artist"].flatten(0, 1) - 0.5) / 0.25)
        a, p = (system.projections["artist"](each) for each in (embeddings[:6], embeddings[6:]))
        weight = system.similarities["artist"].weight
        similarity = torch.stack([torch.stack([x @ weight @ y for y in p]) for x in a])
        expected = contrastive_loss(similarity, alike)
        assert float(system.loss(batch)) == pytest.approx(float(expected), rel=1e-5)


def test_the_token_that_is_taught() -> None:
    system = system_of(recipe({**TAGS, "taught": True}, MAEST)).eval()
    batch = batch_of({**TAGS, "taught": True})
    with torch.no_grad():
        cls, dist, _ = system.network.separated(batch["mel"])
        expected = (
            multi_label_loss(cls, batch["targets"])
            + multi_label_loss(dist, teacher_labels(batch["taught"]))
        ) / 2
        assert float(system.loss(batch)) == pytest.approx(float(expected))


def test_augmentation_changes_what_is_trained_on_and_nothing_else() -> None:
    system = system_of(recipe(TAGS, MAEST, mean=0.5, std=0.25, **AUGMENTED))
    batch = batch_of(TAGS)
    system.eval()
    mel, targets = system.augmented(batch["mel"], batch["targets"])
    torch.testing.assert_close(mel, (batch["mel"] - 0.5) / 0.25)
    assert torch.equal(targets, batch["targets"])
    system.train()
    system._seed_draws(3)
    first = system.augmented(batch["mel"], batch["targets"])
    system._seed_draws(3)
    again = system.augmented(batch["mel"], batch["targets"])
    system._seed_draws(4)
    other = system.augmented(batch["mel"], batch["targets"])
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert (first[0] == 0).any(1).any()  # masked, with the mean
    assert ((first[1] > 0) & (first[1] < 1)).any()  # mixed
    before = batch_of(TAGS)
    assert all(torch.equal(batch[name], before[name]) for name in batch)


def test_the_networks_of_recipes() -> None:
    for network in (RESNET, EFFNET, MAEST, {"name": "resnet50"}, {"name": "musicnn"}):
        size = 187 if network["name"] == "musicnn" else 64
        made = build(recipe(TAGS, network).network, CLASSES, size).eval()
        with torch.no_grad():
            logits, embeddings = made(torch.zeros(1, size, 96))
        assert logits.shape == (1, CLASSES)
        assert embeddings.shape == (1, made.embedding_size)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_optimizer(name: str) -> None:
    system = system_of(recipe(TAGS, optimizer={"name": name, "lr": 0.5, "weight_decay": 0.25}))
    optimizer = system.configure_optimizers()
    assert type(optimizer).__name__.lower() == name
    assert optimizer.defaults["lr"] == 0.5
    assert optimizer.defaults["weight_decay"] == 0.25


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        # Six steps: the warm-up has three, then half a cosine.
        ({"name": "cosine", "warm_up": 1.5}, [0, 1 / 3, 2 / 3, 1, 0.75, 0.25]),
        # A ramp of two epochs at epoch 0.5 and 1, then one, then half.
        (
            {"name": "warm_up_linear", "warm_up": 2, "decay_from": 1, "decay": 2, "last": 0.0},
            [np.exp(-5 * 0.75**2)] * 2 + [np.exp(-5 * 0.25)] * 2 + [0.5] * 2,
        ),
    ],
)
def test_the_rate_of_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: dict[str, Any], rates: list[float]
) -> None:
    found: list[float] = []
    step = System.training_step

    def noted(self: System, batch: dict[str, Tensor], number: int) -> Tensor:
        found.append(self.optimizers().param_groups[0]["lr"])
        return step(self, batch, number)

    monkeypatch.setattr(System, "training_step", noted)
    chosen = recipe(TAGS, batch_size=8, optimizer={"lr": 1.0}, schedule=schedule)
    fit(chosen, make_material(tmp_path / "f"), tmp_path / "run", accelerator="cpu", progress=False)
    np.testing.assert_allclose(found, rates, atol=1e-6)
