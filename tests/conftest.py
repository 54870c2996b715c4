"""Fixtures that several folders share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from auricle.errors import ModelError
from auricle.models import pulling

ROOT = Path(__file__).parents[1]

# How long an example takes depends on what else the machine does, not on the code alone.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# For a Python or packages that are not the main ones: `pytest --hypothesis-profile fewer`.
settings.register_profile("fewer", settings.get_profile("untimed"), max_examples=20)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder of the tests' own for the tokens of control sockets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


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
