"""Work that can be continued after a full disk or the like."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def resumable() -> Iterator[None]:
    """Wrap writing that the same command can continue: an OSError says so."""
    try:
        yield
    except OSError as error:
        error.strerror = f"{error.strerror}; what is whole is kept, and the same command continues"
        raise
