"""Work on many tracks at once, with few under way: all at once would fill the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def as_completed(
    pool: Executor, work: Callable[[Item], Result], items: Iterable[Item], at_once: int
) -> Iterator[tuple[Item, Result]]:
    """Each item with its result, as they come; items are taken while fewer than `at_once` are under way.

    Whoever stops listening, or hears an error, leaves nothing behind that is still to begin.
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
