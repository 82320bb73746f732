"""What `banger doctor` says about networks for which root installs a service.

Read-only (hazard B8): the service is asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from banger.doctor.programs import Check, CheckState
from banger.network.table import find_service
from banger.settings import Settings
from banger.words import SERVED_NETWORKS


def probe_networks(settings: Settings) -> Iterator[Check]:
    """Yield a check of each network whose service is installed, or which VMs are to have."""
    for word in SERVED_NETWORKS:
        service = find_service(word)
        if settings.network == word or service.is_installed():
            found = service.probe()
            state = CheckState.WARN if found.hint else CheckState.OK
            yield Check(word, state, found.fact, found.hint)
