"""The engine: every change of a VM, safe against the others and against a crash.

Six floors, each of which imports only those below it (import-linter holds them to that):

- `verbs`: what clients ask for. A verb checks its request, takes locks, runs transitions and
  returns a view.
- `upkeep`: what the daemon does by itself: opening, recovery, and the loops.
- `views`: what is there, for those who ask. Changes nothing.
- `transitions`: changes of one VM, and of the templates and snapshots that VMs start from, under
  the lifecycle lock, which the caller holds.
- `steps`: what each step of a plan does and undoes, and the runner that journals them.
- `state`: what is in memory: runtimes of VMs and their locks, operations, pins, settings.
"""

from banger.engine.state.engine import Engine
from banger.engine.upkeep.opening import open_engine

__all__ = ["Engine", "open_engine"]
