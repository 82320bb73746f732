"""Facts about this host's CPU: hardware virtualisation, and the TSC's frequency.

Reads /proc/cpuinfo, opens /dev/kvm. Each driver proves for itself that guests run on KVM: a host
may offer /dev/kvm, answer its version and create VMs, and still not run any.
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
    """Frequency of the time stamp counter; None if the kernel does not report it."""


@dataclass(frozen=True)
class KvmVerdict:
    """Whether guests can run on KVM, and one sentence that says why or why not."""

    usable: bool
    reason: str


def probe_cpu() -> CpuFacts:
    """Return the facts of this host's first CPU."""
    return parse_cpuinfo(Path("/proc/cpuinfo").read_text("utf-8", "replace"))


def parse_cpuinfo(text: str) -> CpuFacts:
    """Parse the text of /proc/cpuinfo.

    bogomips is twice the TSC's frequency in MHz: on x86 the kernel derives it from the TSC. Unlike
    `cpu MHz`, bogomips does not change when the clock is scaled.
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
    """Return one sentence that says why no guest can run on KVM here, or None if none is known."""
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
