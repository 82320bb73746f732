"""What `banger doctor` says about limits: which ones VMs get here, and why not more.

Looks for files and asks the service manager's socket who is there; changes nothing (hazard B8).
"""

from __future__ import annotations

from pathlib import Path

from banger.doctor.programs import Check, CheckState
from banger.host.limits.servicemanager import (
    CONTROLLERS,
    LINGER,
    OWN,
    find_service_manager,
    is_lasting,
    may_move_children,
    probe_controllers,
)

NAME = "limits"
SYSTEMD = Path("/run/systemd/system")
"""There on every host that was booted by systemd (sd_booted(3))."""
WITHOUT = "Only the limits of each VMM's process apply to VMs"
STAY = "loginctl enable-linger"


def probe_limits(
    runtime: Path, *, systemd: Path = SYSTEMD, own: Path = OWN, linger: Path = LINGER
) -> Check:
    """Tell what this user's VMs are held to; `runtime` is the user's runtime directory."""
    manager = find_service_manager(runtime)
    if manager is not None:
        return _probe_manager(manager, own, linger)
    if not systemd.exists():
        return Check(NAME, CheckState.OK, f"{WITHOUT}: this host has no systemd.")
    fact = f"{WITHOUT}: no systemd user manager runs in {runtime}."
    return Check(NAME, CheckState.WARN, fact, STAY)


def _probe_manager(manager: Path, own: Path, linger: Path) -> Check:
    if not may_move_children(own=own, linger=linger):
        fact = f"{WITHOUT}: your service manager ends when you log out, with everything in it."
        return Check(NAME, CheckState.WARN, fact, STAY)
    controllers = probe_controllers(manager)
    if controllers is None:
        fact = f"{WITHOUT}: your service manager does not answer at {manager}."
        return Check(NAME, CheckState.WARN, fact, "systemctl --user status")
    lacking = " and ".join(name for name in CONTROLLERS if name not in controllers)
    if lacking:
        fact = f"Each VM has a scope of its own, but users of this host cannot limit its {lacking}."
        return Check(NAME, CheckState.WARN, fact, "systemctl cat user@.service")
    fact = f"Each VM has a scope of its own, with limits on {', '.join(CONTROLLERS)}"
    if is_lasting(linger=linger):
        return Check(NAME, CheckState.OK, f"{fact}.")
    return Check(NAME, CheckState.OK, f"{fact}; it ends when you log out.", STAY)
