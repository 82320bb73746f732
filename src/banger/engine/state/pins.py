"""What operations need at the moment and must therefore not be removed (hazard C4).

An operation that is about to record a kernel or an image says by what name or digest it means
that, from before it looks until the digest is in a record. A removal holds `Engine.removals`
while it asks for needs and records, in this order, and removes; an operation waits for one that is
under way. So nothing goes between being found and being recorded.

A saved machine is pinned by its origin instead, since that never changes its meaning.

All in memory: with the process the operations end, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

from banger.engine.state.engine import Engine
from banger.engine.state.operations import Operation


@contextlib.asynccontextmanager
async def needing(
    engine: Engine, op: Operation, needs: dict[str, str], ref: str
) -> AsyncIterator[None]:
    """Keep whatever a name or digest means from being removed for a block.

    `needs`: those of the engine's for the kind of thing that it is.
    """
    user = name_user(op)
    needs[user] = ref
    try:
        async with engine.removals:
            pass  # the one that is under way ends; a later one sees us
        yield
    finally:
        del needs[user]


@contextlib.contextmanager
def pinned(engine: Engine, op: Operation, origin: str | None) -> Iterator[None]:
    """Keep a saved machine from being removed for a block."""
    if origin is None:
        yield
        return
    user = name_user(op)
    engine.pins[origin].append(user)
    try:
        yield
    finally:
        engine.pins[origin].remove(user)
        if not engine.pins[origin]:
            del engine.pins[origin]


def name_user(op: Operation) -> str:
    """Return what an operation is called where users are named."""
    return f"{op.method} ({op.id})"
