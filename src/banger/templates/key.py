"""The key of a template: a hash of everything that a saved machine depends on. Pure.

Hazard D5: a template made by another VMM, or for another CPU or shape, has another key
and is never found.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from banger.model.jsontext import encode_json
from banger.model.setup import Setup
from banger.model.vm import VmSpec

LAYER_FORMAT = 1
"""Increment whenever the way in which setup commands are run, or what is kept of them, changes."""

FORMAT = 2
"""Increment whenever templates change: the state left in the guest, or the set of files."""


@dataclass(frozen=True, kw_only=True)
class TemplateFacts:
    """The parts of a key besides the VM's spec."""

    vmm: str
    """The driver's fingerprint: its version, program and form of arguments."""
    cpu_model: str
    cpu_flags: frozenset[str]
    """The guest's software has already chosen its code by these flags."""
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


def make_layer_key(base: str, spec: VmSpec, setup: Setup) -> str:
    """Return the key of the template that setup commands make of the template `base`.

    The variables of the VM are the commands', too.
    """
    parts = {
        "layer": LAYER_FORMAT,
        "base": base,
        "env": sorted(spec.program.env.items()),
        "commands": setup.commands,
        "directory": setup.directory,
        "inputs": sorted(
            (each.path, hashlib.sha256(each.content).hexdigest(), each.executable)
            for each in setup.inputs
        ),
    }
    return hashlib.sha256(encode_json(parts)).hexdigest()
