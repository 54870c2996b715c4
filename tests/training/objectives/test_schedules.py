"""Schedules: the published multipliers, and an average that is the mean of what it was given."""

from functools import partial

import pytest

from auricle.errors import RecipeError
from auricle.training.objectives.schedules import is_averaged, warm_up_cosine, warm_up_hold_decay

PUBLISHED = {
    0: 0.01742,
    1: 0.04076,
    2: 0.1653,
    3: 0.44933,
    4: 0.81873,
    5: 1,
    27: 1,
    50: 1,
    51: 0.9802,
    75: 0.505,
    99: 0.0298,
    100: 0.01,
    129: 0.01,
}


@pytest.mark.parametrize(("epoch", "multiplier"), PUBLISHED.items())
def test_published_code_of_maest(epoch: int, multiplier: float) -> None:
    assert warm_up_hold_decay(epoch, last=0.01) == pytest.approx(multiplier, abs=5e-6)


def test_thesis_of_maest() -> None:
    rates = [1e-4 * warm_up_hold_decay(epoch) for epoch in (5, 50, 75, 100, 129)]
    assert rates == pytest.approx([1e-4, 1e-4, 5.005e-5, 1e-7, 1e-7], rel=1e-9)


def test_line_and_cosine() -> None:
    at = partial(warm_up_cosine, warm_up=5000, total=15000)
    rates = [1e-4 * at(step) for step in (0, 2500, 5000, 10000, 15000, 15001)]
    assert rates == pytest.approx([0, 5e-5, 1e-4, 5e-5, 0, 0], abs=1e-16)
    assert warm_up_cosine(0, warm_up=0, total=10) == 1


def test_a_warm_up_beyond_the_end_is_refused() -> None:
    with pytest.raises(RecipeError, match="warm_up=10 must be from 0 to 9, for 10 steps"):
        warm_up_cosine(0, warm_up=10, total=10)


def test_epochs_that_count() -> None:
    assert [epoch for epoch in range(66) if is_averaged(epoch)] == [50, 55, 60, 65]
    assert [epoch for epoch in range(6) if is_averaged(epoch, first=0, every=2)] == [0, 2, 4]


def test_the_average_is_the_mean_of_the_weights() -> None:
    torch = pytest.importorskip("torch", reason="the average is torch's")
    from torch.optim.swa_utils import AveragedModel

    torch.manual_seed(0)
    network = torch.nn.Linear(3, 4).double()
    average, saved = AveragedModel(network), []
    for epoch in range(20):
        with torch.no_grad():
            network.weight.add_(torch.randn(4, 3))
        if is_averaged(epoch, first=3, every=4):
            average.update_parameters(network)
            saved.append(network.weight.detach().clone())
    assert len(saved) == 5
    assert torch.allclose(average.module.weight, torch.stack(saved).mean(0), rtol=0, atol=1e-12)
