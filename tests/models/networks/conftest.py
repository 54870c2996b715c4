"""New networks have the same random weights in every run."""

import contextlib

import pytest


@pytest.fixture(autouse=True)
def seeded() -> None:
    with contextlib.suppress(ImportError):  # the tests that need torch say so themselves
        import torch

        torch.manual_seed(0)
