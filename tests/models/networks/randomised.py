"""Random networks to compare implementations with, and what they listen to.

Imported only by tests that have made sure of torch.
"""

import torch
from torch import Tensor, nn


def noise(batch: int, frames: int, bands: int, seed: int = 0) -> Tensor:
    """Something like log-mel, (batch, frames, bands): from 0 to 4, changing slowly in time."""
    generator = torch.Generator().manual_seed(seed)
    slow = 3 * torch.rand(batch, -(-frames // 16), bands, generator=generator).repeat_interleave(
        16, dim=1
    )
    return slow[:, :frames] + torch.rand(batch, frames, bands, generator=generator)


def parameters(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def settle(network: nn.Module, mel: Tensor) -> nn.Module:
    """Give each batch norm its own scale and shift, and the statistics of `mel`; then eval mode.

    New norms are all alike and change nothing, so a wrong epsilon or a missing norm would not be
    seen; and with random statistics the signal would be lost, or overflow, behind fifty layers.
    """
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.3, generator=generator)
            module.momentum = None  # the running statistics are those of all that was heard
    with torch.no_grad():
        network.train()(mel)
    return network.eval()


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Copy all parameters and statistics to a network that has them in the same order.

    Their names may differ.
    """
    ours, theirs = source.state_dict(), target.state_dict()
    assert [value.shape for value in ours.values()] == [value.shape for value in theirs.values()]
    target.load_state_dict(dict(zip(theirs, ours.values(), strict=True)))


def trained_parts(network: nn.Module, mel: Tensor) -> set[str]:
    """Names of the parameters that get a gradient that is not all zero, in training mode."""
    logits, _ = network.train()(mel)
    logits.square().sum().backward()
    named = network.named_parameters()
    return {name for name, value in named if value.grad is not None and bool(value.grad.any())}
