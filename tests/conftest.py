"""Fixtures that several folders share."""

from pathlib import Path

import pytest

from auricle.errors import ModelError
from auricle.models import pulling

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def musicnn() -> str:
    """Name of a real model, downloaded into the user's cache as `make demo` does.

    Skips the test where it cannot be downloaded.
    """
    try:
        pulling.pull("musicnn-mtt")
    except ModelError as error:
        pytest.skip(f"needs the model musicnn-mtt: {error}")
    return "musicnn-mtt"
