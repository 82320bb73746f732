"""The processes of VMs that are in no list, of every kind that the product has."""

from __future__ import annotations

from collections.abc import Collection

from banger.engine.upkeep.leftovers import list_process_names
from banger.host.identity import ProcessIdentity
from banger.layout import Layout
from banger.vmm import leftovers
from banger.vmm.leftovers import Leftover


def find_leftovers(layout: Layout, recorded: Collection[ProcessIdentity]) -> list[Leftover]:
    """Return them, as the engine finds them."""
    return leftovers.find_leftovers(layout, recorded, programs=list_process_names())
