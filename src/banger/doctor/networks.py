"""What `banger doctor` says about networks for which root installs a service.

Read-only (hazard B8): the service is asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from banger.doctor.programs import Check, CheckState
from banger.network.table import find_network
from banger.settings import Settings
from banger.words import SERVED_NETWORKS


def probe_networks(settings: Settings) -> Iterator[Check]:
    """Yield a check of each network whose service is installed, or which VMs are to have."""
    for word in SERVED_NETWORKS:
        network = find_network(word)
        if network is None or network.service is None:
            continue
        if settings.network == word or network.service.is_installed():
            found = network.service.probe()
            state = CheckState.WARN if found.hint else CheckState.OK
            yield Check(word, state, found.fact, found.hint)
