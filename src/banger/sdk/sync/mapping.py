"""Work for several VMs side by side: a worker for each, and one item at a time.

Made by `make docs` from `sdk/aio/mapping.py`; do not edit.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

from banger.errors import InvalidRequest
from banger.sdk.sync.vm import Vm
from banger.sdk.sync.workers import run_workers

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
    if vms < 1:
        raise InvalidRequest(f"{vms} is not a number of VMs.")
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

    # An interrupt is raised where workers are waited for, and begins no more items either.
    run_workers(work, min(vms, waiting.qsize()), within=_dropping(waiting))
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
