"""Losses: equal to their plain form, known values, and what they must not depend on."""

import math
from itertools import product
from typing import Any, Literal

import pytest

from auricle.errors import TrainingError

pytest.importorskip("torch", reason="objectives are in torch")
import torch

from auricle.training.objectives import losses as objectives

# Float64 sums of some hundred terms in another order.
EXACT: dict[str, Any] = {"rel": 0, "abs": 1e-10}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def plain_cross_entropy(row: list[float], target: int) -> float:
    return math.log(sum(math.exp(value) for value in row)) - row[target]


def plain_binary(logits: torch.Tensor, targets: torch.Tensor) -> float:
    total, n = 0.0, 0
    for row, wanted in zip(logits.tolist(), targets.tolist(), strict=True):
        for z, t in zip(row, wanted, strict=True):
            total -= t * math.log(sigmoid(z)) + (1 - t) * math.log(1 - sigmoid(z))
            n += 1
    return total / n


# -- classification --------------------------------------------------------------------------------


class TestMultiLabel:
    @pytest.mark.parametrize("soft", [False, True])
    def test_equals_its_plain_form(self, soft: bool) -> None:
        logits, targets = normal(5, 7), torch.sigmoid(normal(5, 7, seed=1))
        targets = targets if soft else (targets > 0.6)
        assert objectives.multi_label_loss(logits, targets).item() == pytest.approx(
            plain_binary(logits, targets), **EXACT
        )

    def test_is_torchs_soft_margin(self) -> None:
        logits, targets = normal(4, 6), (normal(4, 6, seed=1) > 0).double()
        expected = torch.nn.MultiLabelSoftMarginLoss()(logits, targets).item()
        assert objectives.multi_label_loss(logits, targets).item() == pytest.approx(
            expected, **EXACT
        )

    def test_no_opinion_costs_ln_2(self) -> None:
        assert objectives.multi_label_loss(
            torch.zeros(3, 4), torch.eye(3, 4)
        ).item() == pytest.approx(math.log(2), abs=1e-6)

    def test_half_precision_is_widened(self) -> None:
        loss = objectives.multi_label_loss(normal(5, 7).bfloat16(), torch.full((5, 7), 0.123))
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(
            plain_binary(normal(5, 7).bfloat16().double(), torch.full((5, 7), 0.123)), abs=1e-6
        )

    def test_targets_of_another_shape_are_refused(self) -> None:
        with pytest.raises(TrainingError, match=r"shapes \(3, 4\) and \(3, 1\) must be the same"):
            objectives.multi_label_loss(torch.zeros(3, 4), torch.zeros(3, 1))


# -- contrast --------------------------------------------------------------------------------------


class TestContrast:
    def test_equals_its_plain_form(self) -> None:
        bilinear = objectives.BilinearSimilarity(5).double()
        a, p = normal(4, 5), normal(4, 5, seed=1)
        w = bilinear.weight.tolist()
        similarity = [
            [sum(a[i, k].item() * w[k][m] * p[j, m].item() for k, m in product(range(5), range(5)))
             for j in range(4)]
            for i in range(4)
        ]  # fmt: skip
        expected = sum(plain_cross_entropy(row, i) for i, row in enumerate(similarity)) / 4
        found = bilinear(a, p)
        assert found.tolist() == [pytest.approx(row, **EXACT) for row in similarity]
        assert objectives.contrastive_loss(found).item() == pytest.approx(expected, **EXACT)

    def test_bilinear_starts_narrow(self) -> None:
        torch.manual_seed(0)
        weight = objectives.BilinearSimilarity().weight
        assert weight.shape == (512, 512)
        # 262,144 draws: the deviation of their mean is 1e-4, that of their deviation 7e-5.
        assert weight.mean().item() == pytest.approx(0, abs=5e-4)
        assert weight.std().item() == pytest.approx(0.05, abs=5e-4)

    def test_parameters_beside_the_encoder(self) -> None:
        modules: list[torch.nn.Module] = [
            objectives.Projection(1280),
            objectives.BilinearSimilarity(),
        ]
        assert sum(p.numel() for module in modules for p in module.parameters()) == 919_040

    def test_projection_is_linear_normalised_and_squashed(self) -> None:
        projection = objectives.Projection(3, 4).double()
        x = normal(2, 3)
        linear, norm, _ = projection
        for row, projected in zip(x, projection(x), strict=True):
            hidden = linear.weight @ row + linear.bias
            hidden = (hidden - hidden.mean()) / torch.sqrt(hidden.var(unbiased=False) + 1e-3)
            expected = torch.tanh(hidden * norm.weight + norm.bias)
            assert projected.tolist() == pytest.approx(expected.tolist(), **EXACT)

    @pytest.mark.parametrize("n", [2, 200])
    def test_equal_similarities_cost_ln_n(self, n: int) -> None:
        loss = objectives.contrastive_loss(torch.zeros(n, n, dtype=torch.float64))
        assert loss.item() == pytest.approx(math.log(n), **EXACT)

    def test_clear_pairs_cost_nothing(self) -> None:
        bilinear = objectives.BilinearSimilarity(8)
        with torch.no_grad():
            bilinear.weight.copy_(torch.eye(8))
            similarity = bilinear(10 * torch.eye(8), 10 * torch.eye(8))
        assert objectives.contrastive_loss(similarity).item() < 1e-6
        assert objectives.top1_accuracy(similarity).item() == 1

    def test_order_of_pairs_does_not_matter(self) -> None:
        bilinear = objectives.BilinearSimilarity(6).double()
        a, p, order = normal(9, 6), normal(9, 6, seed=1), torch.tensor([3, 1, 8, 0, 2, 7, 5, 4, 6])
        one, other = bilinear(a, p), bilinear(a[order], p[order])
        assert objectives.contrastive_loss(one).item() == pytest.approx(
            objectives.contrastive_loss(other).item(), **EXACT
        )
        assert objectives.top1_accuracy(one) == objectives.top1_accuracy(other)

    def test_rows_are_anchors(self) -> None:
        similarity = torch.tensor([[1.0, 0.0], [5.0, 2.0]], dtype=torch.float64)
        expected = (plain_cross_entropy([1, 0], 0) + plain_cross_entropy([5, 2], 1)) / 2
        assert objectives.contrastive_loss(similarity).item() == pytest.approx(expected, **EXACT)
        assert objectives.contrastive_loss(similarity.T).item() != pytest.approx(expected, abs=0.1)

    def test_those_alike_are_no_negatives(self) -> None:
        similarity, pairs = normal(4, 4), {(0, 2), (3, 1), (2, 2)}
        alike = torch.tensor([[(i, j) in pairs for j in range(4)] for i in range(4)])
        kept = [[j for j in range(4) if (i, j) not in pairs - {(2, 2)}] for i in range(4)]
        rows = [[similarity[i, j].item() for j in kept[i]] for i in range(4)]
        expected = sum(plain_cross_entropy(rows[i], kept[i].index(i)) for i in range(4)) / 4
        assert objectives.contrastive_loss(similarity, alike).item() == pytest.approx(
            expected, **EXACT
        )

    def test_those_alike_do_not_win(self) -> None:
        similarity = torch.tensor([[2.0, 3.0], [0.0, 1.0]])
        assert objectives.top1_accuracy(similarity).item() == 0.5
        assert (
            objectives.top1_accuracy(similarity, torch.tensor([[True, True], [False, True]])).item()
            == 1
        )

    def test_top1(self) -> None:
        similarity = torch.tensor([[2.0, 1.0, 0.0], [3.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
        assert objectives.top1_accuracy(similarity).item() == pytest.approx(2 / 3)

    @pytest.mark.parametrize("name", ["contrastive_loss", "top1_accuracy"])
    def test_anchors_without_positives_are_refused(self, name: str) -> None:
        with pytest.raises(
            TrainingError, match=rf"{name}: similarity of shape \(3, 2\) must be square"
        ):
            getattr(objectives, name)(torch.zeros(3, 2))


class TestNtXent:
    def test_equals_its_plain_form(self) -> None:
        x, y = normal(5, 4), normal(5, 4, seed=1)
        z = torch.cat((x, y)).tolist()

        def cosine(a: list[float], b: list[float]) -> float:
            dot = sum(u * v for u, v in zip(a, b, strict=True))
            return dot / math.sqrt(sum(u * u for u in a) * sum(v * v for v in b))

        total = 0.0
        for i in range(10):
            others = [math.exp(cosine(z[i], z[k]) / 0.2) for k in range(10) if k != i]
            total -= math.log(math.exp(cosine(z[i], z[(i + 5) % 10]) / 0.2) / sum(others))
        assert objectives.nt_xent(x, y, 0.2).item() == pytest.approx(total / 10, **EXACT)

    def test_equal_embeddings(self) -> None:
        x = torch.ones(384, 3, dtype=torch.float64)
        assert objectives.nt_xent(x, x).item() == pytest.approx(math.log(767), **EXACT)
        assert math.log(767) == pytest.approx(6.6425, abs=5e-5)

    def test_lengths_sides_and_order_do_not_matter(self) -> None:
        x, y = normal(6, 4), normal(6, 4, seed=1)
        loss = objectives.nt_xent(x, y).item()
        lengths = torch.arange(1, 7, dtype=torch.float64)[:, None]
        order = [5, 0, 4, 1, 3, 2]
        for other in ((x * lengths, y * 7), (y, x), (x[order], y[order])):
            assert objectives.nt_xent(*other).item() == pytest.approx(loss, **EXACT)
        assert objectives.nt_xent(x[order], y).item() != pytest.approx(loss, abs=1e-3)

    def test_a_temperature_of_none_is_refused(self) -> None:
        with pytest.raises(TrainingError, match="nt_xent: temperature=0 must be positive"):
            objectives.nt_xent(torch.ones(2, 3), torch.ones(2, 3), 0)

    def test_unpaired_embeddings_are_refused(self) -> None:
        with pytest.raises(TrainingError, match=r"nt_xent: shapes \(2, 3\) and \(3, 3\)"):
            objectives.nt_xent(torch.ones(2, 3), torch.ones(3, 3))


class TestMultitask:
    def test_weights_are_the_thesis(self) -> None:
        assert objectives.MULTITASK_WEIGHTS == {
            "track": 0.1,
            "release": 0.15,
            "artist": 0.6,
            "label": 0.15,
        }
        assert sum(objectives.MULTITASK_WEIGHTS.values()) == pytest.approx(1, **EXACT)

    def test_gradients_are_weighted_and_projections_apart(self) -> None:
        encoder = torch.nn.Linear(4, 6).double()
        names = list(objectives.MULTITASK_WEIGHTS)
        heads = {name: objectives.Projection(6, 3).double() for name in names}
        bilinear = {name: objectives.BilinearSimilarity(3).double() for name in names}
        pairs = {
            name: (normal(5, 4, seed=i), normal(5, 4, seed=9 + i)) for i, name in enumerate(names)
        }

        def loss(name: str) -> torch.Tensor:
            a, p = (heads[name](encoder(side)) for side in pairs[name])
            return objectives.contrastive_loss(bilinear[name](a, p))

        alone = {name: torch.autograd.grad(loss(name), encoder.weight)[0] for name in names}
        expected = sum(objectives.MULTITASK_WEIGHTS[name] * alone[name] for name in names)
        objectives.multitask_loss({name: loss(name) for name in names}).backward()
        assert torch.allclose(encoder.weight.grad, expected, rtol=0, atol=1e-12)

        weight = heads["label"][0].weight
        by_others = objectives.multitask_loss(
            {
                name: loss(name) if name != "label" else torch.zeros((), dtype=torch.float64)
                for name in names
            }
        )
        assert torch.autograd.grad(by_others, weight, allow_unused=True) == (None,)

    def test_a_missing_association_is_refused(self) -> None:
        with pytest.raises(TrainingError, match=r"losses of \['track'\], weights of \['artist'"):
            objectives.multitask_loss({"track": torch.zeros(())})


# -- distillation ----------------------------------------------------------------------------------


class TestActivations:
    @pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
    def test_softened_is_the_sigmoid_of_divided_logits(self, temperature: float) -> None:
        logits = normal(4, 5)
        softened = objectives.soften(torch.sigmoid(logits), temperature)
        expected = [[sigmoid(z / temperature) for z in row] for row in logits.tolist()]
        assert softened.tolist() == [pytest.approx(row, **EXACT) for row in expected]

    def test_certainty_stays(self) -> None:
        certain = torch.tensor([0.0, 1.0, 0.5])
        assert objectives.soften(certain, 4.0).tolist() == [0, 1, 0.5]

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
    def test_equals_its_plain_form(self, temperature: float) -> None:
        student, teacher = normal(4, 5), normal(4, 5, seed=1)
        total = 0.0
        for z, t in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True):
            q, p = sigmoid(z / temperature), sigmoid(t / temperature)
            total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        found = objectives.activation_loss(student, torch.sigmoid(teacher), temperature)
        assert found.item() == pytest.approx(temperature**2 * total / 20, **EXACT)

    def test_agreement_costs_nothing(self) -> None:
        logits = normal(4, 5)
        assert objectives.activation_loss(
            logits, torch.sigmoid(logits), 2.0
        ).item() == pytest.approx(0, **EXACT)

    def test_certain_teachers_in_half_precision(self) -> None:
        teacher = torch.tensor([[0.0, 1.0, 0.25]], dtype=torch.float16)
        found = objectives.activation_loss(torch.zeros(1, 3), teacher)
        uncertain = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
        assert found.item() == pytest.approx((2 * math.log(2) + uncertain) / 3, abs=1e-6)

    def test_gradient_is_that_of_cross_entropy(self) -> None:
        logits, teacher = normal(4, 5).requires_grad_(), torch.sigmoid(normal(4, 5, seed=1))
        (one,) = torch.autograd.grad(objectives.activation_loss(logits, teacher), logits)
        (other,) = torch.autograd.grad(objectives.multi_label_loss(logits, teacher), logits)
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


class TestEmbeddings:
    @pytest.mark.parametrize("distance", ["cosine", "mse"])
    def test_equals_its_plain_form(self, distance: Literal["cosine", "mse"]) -> None:
        loss = objectives.EmbeddingLoss(3, 4, distance).double()
        student, teacher = normal(5, 3), normal(5, 4, seed=1)
        total = 0.0
        for s, t in zip(student, teacher, strict=True):
            mapped = (loss.map.weight @ s + loss.map.bias).tolist()
            t = t.tolist()
            if distance == "mse":
                total += sum((a - b) ** 2 for a, b in zip(mapped, t, strict=True)) / 4
            else:
                dot = sum(a * b for a, b in zip(mapped, t, strict=True))
                total += 1 - dot / (math.hypot(*mapped) * math.hypot(*t))
        assert loss(student, teacher).item() == pytest.approx(total / 5, **EXACT)

    def test_cosine_leaves_lengths_free(self) -> None:
        loss = objectives.EmbeddingLoss(3, 4).double()
        student, teacher = normal(5, 3), normal(5, 4, seed=1)
        assert loss(student, 9 * teacher).item() == pytest.approx(
            loss(student, teacher).item(), **EXACT
        )

    def test_a_teacher_that_would_be_broadcast_is_refused(self) -> None:
        with pytest.raises(TrainingError, match=r"EmbeddingLoss: shapes \(5, 4\) and \(1, 4\)"):
            objectives.EmbeddingLoss(3, 4, "mse")(torch.ones(5, 3), torch.ones(1, 4))


class TestDeit:
    def test_hard_is_the_mean_of_two_cross_entropies(self) -> None:
        cls, dist, teacher = normal(4, 6), normal(4, 6, seed=1), normal(4, 6, seed=2)
        targets = torch.tensor([0, 5, 2, 2])
        labelled = sum(
            plain_cross_entropy(row, t) for row, t in zip(cls.tolist(), [0, 5, 2, 2], strict=True)
        )
        best = [row.index(max(row)) for row in teacher.tolist()]
        taught = sum(
            plain_cross_entropy(row, t) for row, t in zip(dist.tolist(), best, strict=True)
        )
        found = objectives.deit_loss(cls, dist, targets, teacher)
        assert found.item() == pytest.approx((labelled / 4 + taught / 4) / 2, **EXACT)
        assert objectives.deit_loss(cls, dist, targets, teacher, alpha=0).item() == pytest.approx(
            labelled / 4, **EXACT
        )

    def test_soft_equals_its_plain_form(self) -> None:
        cls, dist, teacher = normal(4, 6), normal(4, 6, seed=1), normal(4, 6, seed=2)
        temperature, total = 3.0, 0.0
        for z, t in zip(dist.tolist(), teacher.tolist(), strict=True):
            z, t = ([value / temperature for value in row] for row in (z, t))
            for k in range(6):
                log_p, log_q = -plain_cross_entropy(t, k), -plain_cross_entropy(z, k)
                total += math.exp(log_p) * (log_p - log_q)
        found = objectives.deit_loss(
            cls, dist, torch.zeros(4).long(), teacher, "soft", 1.0, temperature
        )
        assert found.item() == pytest.approx(temperature**2 * total / 24, **EXACT)

    def test_soft_agreement_costs_nothing(self) -> None:
        teacher = normal(4, 6)
        found = objectives.deit_loss(
            normal(4, 6), teacher, torch.zeros(4).long(), teacher, "soft", 1.0, 2.0
        )
        assert found.item() == pytest.approx(0, **EXACT)

    def test_mixed_targets(self) -> None:
        cls, targets = normal(1, 3), torch.tensor([[0.7, 0.3, 0.0]], dtype=torch.float64)
        (row,) = cls.tolist()
        expected = 0.7 * plain_cross_entropy(row, 0) + 0.3 * plain_cross_entropy(row, 1)
        assert objectives.deit_loss(cls, cls, targets, cls, alpha=0).item() == pytest.approx(
            expected, **EXACT
        )

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"alpha": 1.5}, "alpha=1.5 must be from 0 to 1"),
            ({"temperature": -1}, "temperature=-1 must be positive"),
        ],
    )
    def test_settings_out_of_range_are_refused(self, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(TrainingError, match=f"deit_loss: {words}"):
            objectives.deit_loss(*[torch.ones(2, 3)] * 4, **changes)


class TestTeacherStudent:
    def test_labels(self) -> None:
        activations = torch.tensor([[0.45, 0.46, 0.9], [0.1, 0.44, 0.2], [0.45, 0.0, 0.45]])
        assert objectives.teacher_labels(activations).tolist() == [[0, 1, 1], [0, 1, 0], [1, 0, 0]]

    def test_loss_is_the_mean_of_both_tokens(self) -> None:
        cls, dist = normal(4, 6), normal(4, 6, seed=1)
        targets, labels = (normal(4, 6, seed=2) > 0).double(), (normal(4, 6, seed=3) > 0).double()
        expected = (plain_binary(cls, targets) + plain_binary(dist, labels)) / 2
        found = objectives.teacher_student_loss(cls, dist, targets, labels)
        assert found.item() == pytest.approx(expected, **EXACT)
