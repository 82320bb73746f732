"""Whether a driver can run guests on KVM on this host: proven, not assumed."""

from __future__ import annotations

from banger.host.cpu import CpuFacts, KvmVerdict, find_kvm_obstacle
from banger.model.vm import Accel
from banger.settings import Settings
from banger.vmm.driver import DriverKind


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
