"""The loops of the daemon, a module each, which run without a request.

Each loop handles every VM separately, in a task of its own where that may take long or fail: a bug
in one VM is logged and does not affect the others (hazard B9). A loop with nothing to do costs next
to nothing; ADR 0051 has figures.

`start_upkeep` starts them all; they end with the engine's tasks.
"""

from banger.engine.upkeep.loops import start_upkeep

__all__ = ["start_upkeep"]
