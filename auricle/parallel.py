"""Processing many files in parallel, a few at a time: all of them would fill the memory."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context, parent_process
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def processes(count: int) -> ProcessPoolExecutor:
    """A pool of processes that ignore interrupts, and end when this process ends, killed or not."""
    # Not forked: the caller may have threads.
    return ProcessPoolExecutor(count, get_context("spawn"), _begin)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    # No one is left to report to, and processes that wait for work would do so for ever.
    os._exit(1)


def as_completed(
    pool: Executor, work: Callable[[Item], Result], items: Iterable[Item], at_once: int
) -> Iterator[tuple[Item, Result]]:
    """Each item with its result, in the order in which they finish.

    An item is taken whenever fewer than `at_once` are in progress. When the caller stops iterating,
    or a piece of work raises, no further work is started.

    Args:
        pool: Executor; it is shut down at the end.
        work: Called with each item, on a worker of the pool.
        items: Items, taken lazily on the calling thread.
        at_once: Most items in progress.
    """
    waiting: dict[Future[Result], Item] = {}
    rest = iter(items)
    try:
        while True:
            for item in rest:
                waiting[pool.submit(work, item)] = item
                if len(waiting) >= at_once:
                    break
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)
