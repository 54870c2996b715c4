"""TensorFlow's "same" padding, against zeros and products counted by hand."""

import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'auricle[train]'")
import torch

from auricle.models.networks.same_conv import SameConv2d


def convolve(kernel: list[float], stride: int, signal: list[float]) -> list[float]:
    conv = SameConv2d(1, 1, (len(kernel), 1), (stride, 1), bias=False)
    conv.weight.data[:] = torch.tensor(kernel, dtype=torch.float32).reshape(1, 1, -1, 1)
    found = conv(torch.tensor(signal, dtype=torch.float32).reshape(1, 1, -1, 1))
    return list(found.flatten().tolist())


@pytest.mark.parametrize(
    ("kernel", "stride", "signal", "expected"),
    [
        # Digits of a number show which sample met which weight.
        ([100, 10, 1], 2, [1, 2, 3, 4], [123, 340]),  # zeros: none, one
        ([100, 10, 1], 2, [1, 2, 3], [12, 230]),  # zeros: one, one
        ([100, 10, 1], 1, [1, 2, 3], [12, 123, 230]),
        ([1000, 100, 10, 1], 1, [1, 2, 3], [123, 1230, 2300]),  # zeros: one, two
        ([10000, 1000, 100, 10, 1], 2, [1, 2, 3, 4], [1234, 23400]),  # zeros: one, two
        ([1], 3, [1, 2, 3, 4], [1, 4]),
        ([10, 1], 3, [1, 2, 3, 4, 5, 6], [12, 45]),
        ([100, 10, 1], 2, [5], [50]),
    ],
)
def test_zeros_lie_where_tensorflow_has_them(
    kernel: list[float], stride: int, signal: list[float], expected: list[float]
) -> None:
    assert convolve(kernel, stride, signal) == expected


@pytest.mark.parametrize("size", [1, 2, 7, 96, 127])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (4, 3), (2, 1)])
def test_gives_one_output_per_stride(size: int, kernel: int, stride: int) -> None:
    out = SameConv2d(1, 1, kernel, stride)(torch.zeros(1, 1, size, size + 1))
    assert out.shape[2:] == (-(-size // stride), -(-(size + 1) // stride))


def test_odd_kernels_with_stride_one_are_padded_as_in_torch() -> None:
    same = SameConv2d(2, 3, 5)
    plain = torch.nn.Conv2d(2, 3, 5, padding=2)
    plain.load_state_dict(same.state_dict())
    x = torch.randn(1, 2, 9, 6, generator=torch.Generator().manual_seed(0))
    # The same products; torch may sum the two layouts in another order.
    torch.testing.assert_close(same(x), plain(x), rtol=0, atol=1e-6)
