"""The transform against numpy's in float64, and the logarithm against the C library's."""

from collections.abc import Iterator

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.nodes.signal import fft

Float32 = NDArray[np.float32]


def _ln_of_all(values: Float32, out: Float32) -> None:
    for i in range(values.size):
        out[i] = fft.ln(values[i])


_compiled_ln_of_all = numba.njit(_ln_of_all)


def ln(values: Float32) -> Float32:
    out = np.empty_like(values)
    _compiled_ln_of_all(values, out)
    return out


def signals() -> Iterator[tuple[str, NDArray[np.floating]]]:
    n = np.arange(512)
    rng = np.random.default_rng(11)
    yield "noise", rng.uniform(-1, 1, 512)
    yield "constant", np.ones(512)
    yield "alternating", (-1.0) ** n
    yield "full-scale square", np.sign(np.sin(2 * np.pi * (n + 0.5) / 37))
    yield "tone between bins", np.sin(2 * np.pi * 100.5 * n / 512)
    yield "loud", 1e9 * rng.standard_normal(512)
    yield "quiet", 1e-15 * rng.standard_normal(512)
    yield "zeros", np.zeros(512)


@pytest.mark.parametrize(
    ("name", "signal"), [pytest.param(*case, id=case[0]) for case in signals()]
)
def test_transform_equals_numpy(name: str, signal: NDArray[np.floating]) -> None:
    samples = signal.astype(np.float32)
    expected = np.fft.rfft(samples.astype(np.float64))
    # Float32 rounding, 6e-8 of the intermediate values, through nine levels of butterflies.
    tolerance = 3e-7 * np.sqrt(np.mean(np.abs(expected) ** 2)) + 1e-7 * np.abs(expected).max()
    np.testing.assert_allclose(fft.rfft(samples), expected, rtol=0, atol=tolerance)


def test_transform_puts_every_sample_and_bin_in_its_place() -> None:
    # The FFT of an impulse at n is exp(-2 pi i k n / 512): a wrong twiddle or place shows at full
    # size.
    bins = np.arange(257)
    for n in range(512):
        impulse = np.zeros(512, np.float32)
        impulse[n] = 1
        expected = np.exp(-2j * np.pi * bins * n / 512)
        np.testing.assert_allclose(
            fft.rfft(impulse), expected, rtol=0, atol=5e-7, err_msg=f"impulse at {n}"
        )


def test_transform_takes_strided_samples_and_leaves_them_alone() -> None:
    samples = np.random.default_rng(3).standard_normal(1024).astype(np.float32)
    before = samples.copy()
    np.testing.assert_array_equal(fft.rfft(samples[::2]), fft.rfft(samples[::2].copy()))
    np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize("shape", [(511,), (513,), (0,), (512, 1)])
def test_transform_refuses_other_sizes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="512"):
        fft.rfft(np.zeros(shape, np.float32))


def test_logarithm_over_the_whole_range() -> None:
    # All exponents of normal float32, 4000 mantissas each, both ends of the range included.
    mantissas = np.linspace(1, 2, 4000, endpoint=False)
    values = (mantissas * 2.0 ** np.arange(-126, 128)[:, None]).astype(np.float32).ravel()
    expected = np.log(values.astype(np.float64))
    error = np.abs(ln(values) - expected) / np.maximum(1, np.abs(expected))
    assert error.max() < 1.5e-7, values[error.argmax()]


def test_logarithm_near_one_is_relatively_accurate() -> None:
    # Quiet bands live here: ln(1 + x) must not lose the x that float32 still has.
    near = (1 + np.arange(-4000, 4001) * 2.0**-23).astype(np.float32)
    expected = np.log(near.astype(np.float64))
    np.testing.assert_allclose(ln(near), expected, rtol=2e-7, atol=0)
    assert ln(np.ones(1, np.float32))[0] == 0


def test_logarithm_rises() -> None:
    values = np.unique(np.geomspace(1e-3, 1e9, 1_000_000).astype(np.float32))
    steps = np.diff(ln(values))
    # Where consecutive values are closer than the rounding of the result, it may step back by that
    # rounding.
    assert steps.min() > -4e-6
    assert np.mean(steps >= 0) > 0.99
