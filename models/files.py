"""Writing files and folders so that a reader sees the old or the new one, never a part of one."""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file beside `path`, then rename it over `path`.

    Args:
        path: The file to write or replace.
        content: New content of the file.

    Raises:
        OSError: It cannot be written; the error names `path`.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            # The error of a full disk names no file, others name the temporary one.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Fill a temporary folder beside `target`, which becomes `target` when the block ends.

    A folder that exists already is replaced. If the block raises, nothing has changed. A killed
    process leaves at most a folder whose name starts with a dot.

    Raises:
        OSError: A folder cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        fresh = work / "new"
        fresh.mkdir()
        yield fresh
        if target.exists():
            os.replace(target, work / "old")  # a rename cannot replace a folder that is not empty
        os.replace(fresh, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path, wait: Callable[[], object]) -> Iterator[None]:
    """Hold a lock, among threads and processes, until the block ends or the process does.

    Args:
        path: File that stands for the lock. Its folder is created.
        wait: Function called before waiting, if the lock is held elsewhere.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a child forked in the block has the file open too


def sha256(path: Path) -> str:
    """Hash of a file's content, in hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
