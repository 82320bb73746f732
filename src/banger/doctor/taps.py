"""What `banger doctor` says about TAPs, for the kinds of VMMs that need one for a network.

Read-only (hazard B8): a TAP is made in a namespace that ends with the trial.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from banger.doctor.programs import Check, CheckState
from banger.errors import BangerError
from banger.host.attachments import AttachmentKind
from banger.host.programs import find_tool, run_sync
from banger.settings import Settings
from banger.vmm.table import find_driver_kind
from banger.vmm.tap import DEVICE, find_tap_program, plan_tap_trial
from banger.words import DRIVERS

TRIAL_DEADLINE_S = 10.0
OPEN_DEVICE = f"sudo chmod 666 {DEVICE}"


def probe_taps(settings: Settings, *, drivers: Collection[str] = DRIVERS) -> Iterator[Check]:
    """Yield a check if an installed kind of VMM is joined to networks by TAPs."""
    words = [word for word in drivers if _takes_taps(word, settings)]
    if words:
        yield _probe_tap(" and ".join(words))


def _takes_taps(word: str, settings: Settings) -> bool:
    kind = find_driver_kind(word)
    if kind.attachment is not AttachmentKind.TAP:
        return False
    return all(find_tool(program) for program in kind.list_programs(settings))


def _probe_tap(words: str) -> Check:
    try:
        run_sync(plan_tap_trial(find_tap_program()), deadline_s=TRIAL_DEADLINE_S)
    except BangerError as error:
        fact = (
            f"TAPs cannot be created ({error.message.rstrip('.')}); VMs of {words} have no network."
        )
        hint = OPEN_DEVICE if DEVICE in error.message else None
        return Check("tap", CheckState.WARN, fact, hint)
    return Check("tap", CheckState.OK, f"A TAP can be created for each VM of {words}.")
