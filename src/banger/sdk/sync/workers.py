"""Work side by side, for calls that wait: a thread for each worker."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager


def run_workers(
    work: Callable[[], None], number: int, *, within: AbstractContextManager[None]
) -> None:
    """Have so many work, each to its end, and wait for them `within` a block.

    Raises: what the first of them has raised, or what interrupts this thread.
    """
    with ThreadPoolExecutor(max(number, 1)) as pool, within:
        for ended in [pool.submit(work) for _ in range(number)]:
            ended.result()
