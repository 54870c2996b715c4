"""Mixing and masking: what is kept, what changes, and that draws can be repeated."""

import pytest

from auricle.errors import RecipeError, TrainingError

pytest.importorskip("torch", reason="augmentation is in torch")
import torch

from auricle.training.sampling.augment import Mixup, SpecAugment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ones(batch: int = 64, frames: int = 200, bands: int = 96) -> torch.Tensor:
    return torch.ones(batch, frames, bands)


def runs(flags: list[bool]) -> list[int]:
    """Lengths of the stretches of True."""
    found, length = [], 0
    for flag in [*flags, False]:
        if flag:
            length += 1
        elif length:
            found.append(length)
            length = 0
    return found


class TestMixup:
    def test_equals_its_plain_form(self) -> None:
        mix = Mixup.draw(8, generator())
        x = torch.randn(8, 5, 3, generator=generator(1))
        for i, (weight, partner) in enumerate(zip(mix.weights, mix.partners, strict=True)):
            assert torch.allclose(mix(x)[i], weight * x[i] + (1 - weight) * x[partner])

    def test_inputs_and_targets_are_mixed_alike(self) -> None:
        mix = Mixup.draw(16, generator())
        targets = torch.eye(16)
        inputs = torch.arange(16.0)[:, None, None].expand(16, 4, 3)
        expected = mix(targets) @ torch.arange(16.0)
        assert torch.allclose(mix(inputs), expected[:, None, None].expand(16, 4, 3), atol=1e-5)

    def test_labels_are_neither_made_nor_lost(self) -> None:
        mix = Mixup.draw(32, generator())
        one_hot = torch.eye(7)[torch.arange(32) % 7]
        assert torch.allclose(mix(one_hot).sum(1), torch.ones(32))

    def test_each_segment_remains_the_larger_part(self) -> None:
        mix = Mixup.draw(10_000, generator())
        assert mix.weights.min() >= 0.5
        assert mix.weights.max() <= 1
        assert sorted(mix.partners.tolist()) == list(range(10_000))
        assert mix.weights.unique().numel() > 5000

    def test_weights_are_of_the_beta_distribution(self) -> None:
        # The variance of Beta(a, a) is 1 / (4 (2a + 1)), and folding at a half leaves squares of
        # distances from there; the deviation of their mean over 200,000 draws is 2e-4.
        for alpha in (0.3, 2.0):
            weights = Mixup.draw(200_000, generator(), alpha).weights
            assert (weights - 0.5).square().mean().item() == pytest.approx(
                1 / (4 * (2 * alpha + 1)), abs=1e-3
            )

    def test_draws_repeat(self) -> None:
        one, other, third = (Mixup.draw(50, generator(seed)) for seed in (3, 3, 4))
        assert torch.equal(one.weights, other.weights)
        assert torch.equal(one.partners, other.partners)
        assert not torch.equal(one.weights, third.weights)

    def test_a_batch_of_another_size_is_refused(self) -> None:
        with pytest.raises(TrainingError, match="mixup: 3 rows, drawn for 4"):
            Mixup.draw(4, generator())(torch.ones(3, 2))

    def test_an_alpha_of_none_is_refused(self) -> None:
        with pytest.raises(RecipeError, match="alpha=0 must be positive"):
            Mixup.draw(4, generator(), 0)


class TestSpecAugment:
    def test_it_changes_its_input(self) -> None:
        mel = torch.randn(4, 312, 96, generator=generator())
        before = mel.clone()
        masked = SpecAugment()(mel, generator())
        assert torch.equal(mel, before)
        changed = masked != mel
        assert (changed.flatten(1).sum(1) > 0).all()
        assert (masked[changed] == 0).all()

    def test_whole_frames_and_whole_bands_are_masked(self) -> None:
        masked = SpecAugment()(ones(8), generator()) == 0
        frames, bands = masked.all(2), masked.all(1)
        assert frames.any()
        assert bands.any()
        assert torch.equal(masked, frames[:, :, None] | bands[:, None, :])

    @pytest.mark.parametrize("axis", ["time", "band"])
    def test_widths_are_uniform_up_to_the_largest(self, axis: str) -> None:
        settings = {"time_masks": 0, "band_masks": 0, f"{axis}_masks": 1, f"{axis}_width": 8}
        masked = SpecAugment(**settings)(ones(9000, 50, 40), generator()) == 0
        lines = masked.all(2) if axis == "time" else masked.all(1)
        widths = lines.sum(1)
        assert all(len(runs(line)) <= 1 for line in lines[:200].tolist())
        # A thousand of each; the deviation of such a count is 30.
        assert widths.bincount(minlength=9).tolist() == pytest.approx([1000] * 9, abs=120)

    def test_masks_reach_both_ends_and_stay_inside(self) -> None:
        masked = SpecAugment(1, 5, 0, 0)(ones(5000, 12, 4), generator()).eq(0).all(2)
        covered = masked.sum(0)
        assert (covered > 0).all()
        # Every width counts as often as it was drawn: nothing hangs over the end.
        assert masked.sum(1).float().mean().item() == pytest.approx(2.5, abs=0.1)

    def test_segments_have_masks_of_their_own(self) -> None:
        masked = SpecAugment()(ones(32), generator()) == 0
        assert len({tuple(line) for line in masked.all(2).tolist()}) == 32

    def test_fill(self) -> None:
        masked = SpecAugment(fill=-0.8)(ones(4), generator())
        assert {round(value, 4) for value in masked.unique().tolist()} == {-0.8, 1.0}

    def test_masks_wider_than_the_segment(self) -> None:
        masked = SpecAugment(1, 100, 0, 0)(ones(200, 3, 2), generator()).eq(0).all(2).sum(1)
        assert set(masked.tolist()) == {0, 1, 2, 3}

    def test_no_masks_change_nothing(self) -> None:
        assert torch.equal(SpecAugment(0, 8, 0, 8)(ones(2), generator()), ones(2))

    def test_draws_repeat(self) -> None:
        one, other, third = (SpecAugment()(ones(4), generator(seed)) for seed in (3, 3, 4))
        assert torch.equal(one, other)
        assert not torch.equal(one, third)

    def test_a_negative_number_is_refused(self) -> None:
        with pytest.raises(RecipeError, match="SpecAugment: band_width=-1 must not be negative"):
            SpecAugment(band_width=-1)
