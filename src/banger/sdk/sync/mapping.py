"""Work for several VMs side by side: a thread for each, and one item at a time."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

from banger.sdk.sync.vm import Vm

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_items(
    open_vm: Callable[[], AbstractContextManager[Vm]],
    function: Callable[[Vm, Item], Result],
    items: Iterable[Item],
    *,
    vms: int,
) -> list[Result]:
    """Return what the function returns for each item, in order.

    Raises: what the first call that failed has raised; no item is begun after that.
    """
    waiting = queue.SimpleQueue[tuple[int, Item]]()
    results: dict[int, Result] = {}
    for numbered in enumerate(items):
        waiting.put(numbered)

    def work() -> None:
        # Twice: before a VM is deleted, which takes time, and where one cannot be made.
        with _dropping(waiting), open_vm() as vm, _dropping(waiting):
            while (numbered := _take(waiting)) is not None:
                number, item = numbered
                results[number] = function(vm, item)

    # Wait within the block: an interrupt is raised in this thread, and begins no more items either.
    with ThreadPoolExecutor(vms) as pool, _dropping(waiting):
        workers = [pool.submit(work) for _ in range(min(vms, waiting.qsize()))]
        for ended in workers:
            ended.result()
    return [results[number] for number in sorted(results)]


@contextlib.contextmanager
def _dropping(waiting: queue.SimpleQueue[tuple[int, Item]]) -> Iterator[None]:
    """Drop what waits if the block fails."""
    try:
        yield
    except BaseException:
        while _take(waiting) is not None:
            continue
        raise


def _take(waiting: queue.SimpleQueue[tuple[int, Item]]) -> tuple[int, Item] | None:
    with contextlib.suppress(queue.Empty):
        return waiting.get_nowait()
    return None
