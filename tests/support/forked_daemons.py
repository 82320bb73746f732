"""Daemons that forked commands start, which are forked as well.

The place of `banger.client.start` in a command, which imports that, and this module's own needs,
only when no daemon runs. All that start does is done; but the process is asked of the server of
`tests.support.forked` at an address. It is started by itself where its environment has it so.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

START = "banger.client.start"


def fork_daemons(address: str) -> None:
    """Have this process ask the server at `address` for the daemons that it starts."""
    stand_in: Any = ModuleType(START)
    stand_in.start_daemon = partial(_start_daemon, address)
    sys.modules[START] = stand_in


def _start_daemon(address: str, layout: object) -> None:
    del sys.modules[START]
    start: Any = import_module(START)
    forked: Any = import_module("tests.support.forked")
    start.spawn_detached = partial(forked.spawn_daemon, address)
    start.start_daemon(layout)
