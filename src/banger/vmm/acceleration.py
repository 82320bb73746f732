"""Whether drivers can run guests on KVM here, proven and not assumed, and what `auto` means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from banger.host.cpu import CpuFacts, KvmVerdict, find_kvm_obstacle
from banger.host.programs import find_tool
from banger.model.vm import Accel
from banger.settings import Settings
from banger.vmm.driver import DriverKind
from banger.vmm.table import find_driver_kind
from banger.words import AUTO, DRIVERS


async def prove_kvm(kind: DriverKind, settings: Settings, cpu: CpuFacts) -> KvmVerdict:
    """Tell whether a driver can run guests on KVM here.

    The caller keeps the verdict for as long as the boot id is the same.
    """
    reason = find_kvm_obstacle(cpu)
    if reason is None:
        reason = await kind.find_proof_failure(settings, Accel.KVM)
    if reason is not None:
        return KvmVerdict(usable=False, reason=reason)
    return KvmVerdict(usable=True, reason="A guest was run on KVM.")


async def choose_driver(
    word: str,
    settings: Settings,
    *,
    fits: Callable[[str], bool],
    is_usable: Callable[[str], Awaitable[bool]],
) -> str:
    """Return the driver that a word means here, for VMs that `fits` tells a driver runs.

    `auto` is the first driver that is installed and usable, which asks the host: it runs guests on
    KVM, and can be joined to their network. Else it is the one that emulates guests.
    """
    if word != AUTO:
        return word
    for driver in DRIVERS:
        programs = find_driver_kind(driver).list_programs(settings)
        if fits(driver) and all(map(find_tool, programs)) and await is_usable(driver):
            return driver
    return next(driver for driver in DRIVERS if Accel.TCG in find_driver_kind(driver).accels)
