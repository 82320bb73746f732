"""Work side by side, for calls that wait: a thread for each worker."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from threading import Event


def run_workers(
    work: Callable[[], None], number: int, *, within: AbstractContextManager[None]
) -> None:
    """Have so many work, each to its end, and wait for them `within` a block.

    Raises: what the first of them has raised, or what interrupts this thread.
    """
    is_complete, is_decided = False, Event()

    def begin() -> None:
        # A thread whose start was interrupted is none of the pool's, which would not wait for it.
        is_decided.wait()
        if is_complete:
            work()

    with ThreadPoolExecutor(max(number, 1)) as pool, within:
        try:
            workers = [pool.submit(begin) for _ in range(number)]
            is_complete = True
        finally:
            is_decided.set()
        for ended in workers:
            ended.result()
