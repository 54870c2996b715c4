"""Resampling, downmixing and conversion. Cuts: no tolerance, since the code sees equal numbers."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from auricle.nodes.signal.conditioner import (
    QUALITY,
    Resampler,
    Samples,
    downmix,
    pcm_samples,
    silence_the_unreal,
    to_float,
)
from tests.nodes.listening import spectrum_peak, tone

RATES = [44100, 48000, 8000, 22050, 192000, 11025]
EDGE = 512
"""Outputs at either end where the filter sees the silence outside: HQ's is far shorter."""


def noise(count: int, seed: int = 1) -> Samples:
    return np.random.default_rng(seed).uniform(-1, 1, count).astype(np.float32)


def resampled(samples: Samples, rate: int, cuts: list[int], to_rate: int = 16000) -> Samples:
    resampler, out, at, turn = Resampler(rate, to_rate), [], 0, 0
    while at < len(samples):
        cut = cuts[turn % len(cuts)]
        out.append(resampler(samples[at : at + cut]))
        at, turn = at + cut, turn + 1
    return np.concatenate([*out, resampler.flush()])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("cuts", [[127], [256], [4096], [3, 900, 1, 0, 77]], ids=str)
def test_cuts_do_not_matter(rate: int, cuts: list[int]) -> None:
    samples = noise(rate // 4 + 3)
    np.testing.assert_array_equal(
        resampled(samples, rate, cuts), resampled(samples, rate, [len(samples)])
    )


@pytest.mark.parametrize("rate", RATES)
def test_single_samples_give_the_same(rate: int) -> None:
    samples = noise(5000)
    np.testing.assert_array_equal(resampled(samples, rate, [1]), resampled(samples, rate, [5000]))


@pytest.mark.parametrize("rate", RATES)
def test_random_cuts_give_the_same(rate: int) -> None:
    samples, cuts = noise(20000), np.random.default_rng(rate).integers(1, 3000, 50).tolist()
    np.testing.assert_array_equal(resampled(samples, rate, cuts), resampled(samples, rate, [20000]))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, 4096, 11025, 44101])
def test_length(rate: int, count: int) -> None:
    exact = count * 16000 / rate
    # Where it lies half-way, either neighbour is right.
    assert abs(len(resampled(noise(count), rate, [1000])) - exact) <= 0.5


@pytest.mark.parametrize("rate", RATES)
def test_constant_stays_constant(rate: int) -> None:
    out = resampled(np.full(rate, 0.25, np.float32), rate, [1000])
    # 20 bits of the setting are 1e-6 of full scale; the ripple of its pass band is of that order.
    np.testing.assert_allclose(out[EDGE:-EDGE], 0.25, atol=2e-6)


@pytest.mark.parametrize("rate", RATES)
def test_tone_is_kept_in_place(rate: int) -> None:
    out = resampled(tone(1000, 1, rate), rate, [1000])
    # In place: half a sample off would be an error of 0.1. 1e-5: pass band ripple and float32.
    np.testing.assert_allclose(out[EDGE:-EDGE], tone(1000, 1, 16000)[EDGE:-EDGE], atol=1e-5)


@pytest.mark.parametrize(
    ("rate", "frequency"), [(44100, 9000), (48000, 20000), (192000, 60000), (22050, 8800)]
)
def test_tone_above_half_the_rate_is_removed(rate: int, frequency: int) -> None:
    out = resampled(tone(frequency, 1, rate, 1.0), rate, [1000])
    # -100 dB: the setting's stop band lies at -120 dB.
    assert np.abs(out[EDGE:-EDGE]).max() < 1e-5


@pytest.mark.parametrize("rate", RATES)
def test_close_to_soxr_at_once(rate: int) -> None:
    samples = noise(rate // 2)
    # Same filter, other block lengths of its transforms: float32 rounding of sums, 1e-6 of full
    # scale.
    whole = soxr.resample(samples, rate, 16000, quality=QUALITY)
    np.testing.assert_allclose(resampled(samples, rate, [333]), whole, atol=5e-6)


def test_same_rate_changes_nothing() -> None:
    samples = noise(1000)
    np.testing.assert_array_equal(resampled(samples, 16000, [77]), samples)


@pytest.mark.parametrize(
    ("pcm_format", "data", "values"),
    [
        ("u8", bytes([0, 128, 255, 64]), [-1, 0, 127 / 128, -0.5]),
        ("s16le", np.array([-32768, 0, 32767, 1], "<i2").tobytes(), [-1, 0, 1 - 2**-15, 2**-15]),
        (
            "s24le",
            b"".join(
                value.to_bytes(3, "little", signed=True) for value in (-(2**23), 0, 2**23 - 1, 1)
            ),
            [-1, 0, 1 - 2**-23, 2**-23],
        ),
        ("s32le", np.array([-(2**31), 0, 2**30, 1], "<i4").tobytes(), [-1, 0, 0.5, 2**-31]),
        ("f32le", np.array([-1, 0, 1.5, 1e-7], "<f4").tobytes(), [-1, 0, 1.5, 1e-7]),
        ("f64le", np.array([-1, 0, 1.5, 1e-7], "<f8").tobytes(), [-1, 0, 1.5, 1e-7]),
    ],
)
def test_pcm_formats(pcm_format: str, data: bytes, values: list[float]) -> None:
    block = pcm_samples(data, pcm_format, 2)
    assert block.shape == (2, 2)
    samples = to_float(block)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples.ravel(), np.array(values, np.float32))
    assert pcm_samples(b"", pcm_format, 2).shape == (0, 2)


def test_downmix_is_the_mean_and_a_copy() -> None:
    stereo = np.array([[1, 0], [0.5, -0.5], [-1, -1]], np.float32)
    np.testing.assert_array_equal(downmix(stereo), [0.5, 0, -1])
    np.testing.assert_array_equal(downmix(np.tile(stereo[:, :1], 8)), stereo[:, 0])
    mono = stereo[:, :1].copy()
    downmix(mono)[:] = 9
    np.testing.assert_array_equal(mono, stereo[:, :1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("pair", "mean"), [((3e38, 3e38), np.inf), ((np.inf, -np.inf), np.nan)])
def test_downmix_of_the_unreal_is_silent_about_it(pair: tuple[float, float], mean: float) -> None:
    np.testing.assert_array_equal(
        downmix(np.array([pair], np.float32)), np.array([mean], np.float32)
    )


@pytest.mark.parametrize(
    ("at", "ranges"),
    [
        ([], []),
        ([0], [(0, 1)]),
        ([9], [(9, 10)]),
        ([3, 4, 5, 8], [(3, 6), (8, 9)]),
        (list(range(10)), [(0, 10)]),
    ],
)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_silence_the_unreal(wrong: float, at: list[int], ranges: list[tuple[int, int]]) -> None:
    samples: NDArray[np.float32] = np.ones(10, np.float32)
    samples[at] = wrong
    assert silence_the_unreal(samples) == ranges
    np.testing.assert_array_equal(samples, [0 if i in at else 1 for i in range(10)])


@pytest.mark.filterwarnings("error")
def test_loud_samples_are_no_damage() -> None:
    loud = np.full(4, 3e38, np.float32)
    assert silence_the_unreal(loud) == []
    assert (loud == np.float32(3e38)).all()
    assert silence_the_unreal(to_float(np.array([1, 1e300, 2]))) == [(1, 2)]


def test_spectrum_peak_finds_a_tone() -> None:
    frequency, level = spectrum_peak(tone(440, 1, 16000, 0.3), 16000)
    assert abs(frequency - 440) <= 1
    assert level == pytest.approx(0.3, rel=0.01)
