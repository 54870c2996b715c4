"""Convolution with TensorFlow's "same" padding, where PyTorch has no equivalent."""

from torch import Tensor, nn
from torch.nn.functional import pad


class SameConv2d(nn.Conv2d):
    """A convolution of ceil(size / stride) outputs, padded as by TensorFlow's `padding="same"`.

    Of an odd number of zeros the larger half comes last. So the padding of a strided convolution
    depends on the size: a kernel of 3 with stride 2 gets (0, 1) zeros on even sizes and (1, 1) on
    odd ones, where the usual `padding=1` of PyTorch shifts even sizes by one.

    With stride 1 and odd kernels, `nn.Conv2d(..., padding=kernel // 2)` is the same and copies
    nothing. Dilation is not considered.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, out_channels, outputs, outputs)."""
        zeros: list[int] = []
        for axis in (1, 0):  # pad wants the last axis first
            size, kernel, stride = input.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            outputs = -(-size // stride)
            total = max((outputs - 1) * stride + kernel - size, 0)
            zeros += [total // 2, total - total // 2]
        return super().forward(pad(input, zeros))
