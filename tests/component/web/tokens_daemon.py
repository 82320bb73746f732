"""The scripted daemon with the real verbs of tokens, on a database of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace

from banger.daemon.__main__ import _ready_fd, main
from banger.daemon.bindings import bind_verbs, find_verbs
from banger.daemon.calls import Handlers
from banger.daemon.lifecycle import Control
from banger.store import open_database
from tests.component.daemon.scripted import open_handlers as open_scripted


@contextlib.asynccontextmanager
async def open_handlers(control: Control) -> AsyncIterator[Handlers]:
    database = await open_database(control.layout.state / "tokens.db")
    engine = SimpleNamespace(database=database, token_deleted=asyncio.Event())
    verbs = {n: v for n, v in find_verbs().items() if n.startswith(("token.", "login."))}
    try:
        async with open_scripted(control) as handlers:
            yield {**handlers, **bind_verbs(verbs, engine=engine)}
    finally:
        await database.close()


if __name__ == "__main__":
    sys.exit(main(open_handlers, ready_fd=_ready_fd(sys.argv[1:])))
