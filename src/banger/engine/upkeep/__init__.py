"""The loops of the daemon, a module each, which run without a request.

Each loop looks at every VM by itself, in a task of the engine's own where that may take long or
fail: a bug in one VM is logged and is the others' no business (hazard B9). While nothing is
to be done a loop costs next to nothing; ADR 0051 has figures.

`start_upkeep` starts them all; they end with the engine's tasks.
"""

from banger.engine.upkeep.loops import start_upkeep

__all__ = ["start_upkeep"]
