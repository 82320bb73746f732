"""What this host's CPU can do for guests: hardware virtualisation, and the TSC's frequency.

Reads /proc/cpuinfo, opens /dev/kvm. That a guest really runs on KVM each driver proves by itself:
a host may offer /dev/kvm, answer its version and create VMs, and still not run one.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path

KVM_DEVICE = Path("/dev/kvm")


@dataclass(frozen=True)
class CpuFacts:
    """The part of /proc/cpuinfo that matters for guests."""

    model: str
    flags: frozenset[str]
    tsc_khz: int | None
    """Frequency of the time stamp counter; None if the kernel does not tell."""


@dataclass(frozen=True)
class KvmVerdict:
    """Whether guests can run on hardware, and why not, in one sentence."""

    usable: bool
    reason: str


def probe_cpu() -> CpuFacts:
    """Return the facts of this host's first CPU."""
    return parse_cpuinfo(Path("/proc/cpuinfo").read_text("utf-8", "replace"))


def parse_cpuinfo(text: str) -> CpuFacts:
    """Return the facts in a /proc/cpuinfo.

    bogomips is twice the TSC's frequency in MHz: the kernel derives it from the TSC where
    there is one (x86), and it stays what it is when the clock is scaled, unlike `cpu MHz`.
    """
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = frozenset(fields.get("flags", "").split())
    bogomips = re.fullmatch(r"\d+(\.\d+)?", fields.get("bogomips", ""))
    tsc_khz = round(float(bogomips[0]) * 500) if bogomips and "tsc" in flags else None
    return CpuFacts(fields.get("model name", "unknown CPU"), flags, tsc_khz)


def find_kvm_obstacle(cpu: CpuFacts) -> str | None:
    """Return why no guest can run on KVM here, in one sentence, as far as the host tells."""
    if not cpu.flags & {"vmx", "svm"}:
        return "The CPU offers no hardware virtualisation (neither vmx nor svm in its flags)."
    return _why_not_openable()


def _why_not_openable() -> str | None:
    try:
        os.close(os.open(KVM_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return f"{KVM_DEVICE} does not exist: the kvm module is not loaded."
        return f"{KVM_DEVICE} cannot be opened: {error.strerror}."
    return None
