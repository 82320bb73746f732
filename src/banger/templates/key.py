"""The key of a template: everything that a saved machine depends on. Pure.

Hazard D5: a template that was made by another VMM, for another CPU or shape, is never
found, since its key is another one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from banger.model.vm import VmSpec

FORMAT = 2
"""Raised when templates are made differently: what is left in the guest, which files there are."""


@dataclass(frozen=True, kw_only=True)
class TemplateFacts:
    """What counts besides the VM's spec."""

    vmm: str
    """The driver's fingerprint: version, program, form of its arguments."""
    cpu_model: str
    cpu_flags: frozenset[str]
    """Software in the guest has chosen its code by them."""
    tsc_khz: int | None


def make_key(spec: VmSpec, facts: TemplateFacts) -> str:
    """Return the key for VMs of this shape: 64 hex digits."""
    parts = {
        "format": FORMAT,
        "image": spec.image,
        "kernel": spec.kernel,  # covers the initramfs, and so the agent
        "driver": spec.driver,
        "accel": spec.accel,
        "vcpu": spec.shape.vcpu,
        "memory_mib": spec.shape.memory_mib,
        "disk_mib": spec.shape.disk_mib,
        "network": spec.shape.network,
        "vmm": facts.vmm,
        "cpu_model": facts.cpu_model,
        "cpu_flags": sorted(facts.cpu_flags),
        "tsc_khz": facts.tsc_khz,
    }
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
