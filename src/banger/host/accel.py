"""What this host's CPU can do for guests: KVM, proven, and the TSC's frequency.

KVM is proven, not assumed. A host may offer /dev/kvm, answer its version and
create VMs, and still not run a guest: software-only back ends make QEMU abort on
a model-specific register, or crawl. So three things must hold: the CPU has vmx or
svm, the device can be opened, and QEMU runs a guest of ten bytes to its end.

Reads /proc/cpuinfo, opens /dev/kvm, starts QEMU for a moment with a guest in a
temporary file. The caller keeps the verdict for as long as the boot id is the same.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from banger.errors import BangerError
from banger.host import proc
from banger.model.vm import Accel

KVM_DEVICE = Path("/dev/kvm")
PROOF_DEADLINE_S = 10.0

# The proof's guest: 32-bit code that QEMU enters through PVH. It writes 0x10 to the
# isa-debug-exit device, which ends QEMU with status 0x10 << 1 | 1.
PROOF_CODE = bytes.fromhex(
    "66baf400"  # mov $0xf4, %dx
    "b010"  #     mov $0x10, %al
    "ee"  #       out %al, %dx
    "f4"  #       hlt
    "ebfd"  #     jmp back to hlt
)
PROOF_STATUS = 0x21
_LOAD_ADDRESS = 0x100000
_XEN_ELFNOTE_PHYS32_ENTRY = 18


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


async def prove_kvm(qemu_binary: str, *, cpu: CpuFacts) -> KvmVerdict:
    """Tell whether QEMU can run guests on KVM here."""
    if not cpu.flags & {"vmx", "svm"}:
        return KvmVerdict(
            usable=False,
            reason="The CPU offers no hardware virtualisation (neither vmx nor svm in its flags).",
        )
    reason = _why_not_openable()
    if reason is None:
        reason = await find_proof_failure(qemu_binary, Accel.KVM)
    if reason is not None:
        return KvmVerdict(usable=False, reason=reason)
    return KvmVerdict(usable=True, reason="A guest was run on KVM.")


async def find_proof_failure(qemu_binary: str, accel: Accel) -> str | None:
    """Run the proof's guest; return why it did not run to its end, or None."""
    with tempfile.TemporaryDirectory(prefix="banger-kvm-") as directory:
        guest = Path(directory, "guest")
        guest.write_bytes(render_pvh_guest(PROOF_CODE))
        argv = _proof_argv(qemu_binary, guest, accel)
        try:
            await proc.run(argv, deadline_s=PROOF_DEADLINE_S, ok=(PROOF_STATUS,))
        except BangerError as error:
            return f"A guest of a few instructions does not run with {accel}: {error.message}"
    return None


def render_pvh_guest(code: bytes) -> bytes:
    """Return a kernel file (ELF with a PVH note) whose whole content is `code`, 32-bit."""
    note = struct.pack("<III4sI", 4, 4, _XEN_ELFNOTE_PHYS32_ENTRY, b"Xen\0", _LOAD_ADDRESS)
    headers = 52 + 2 * 32
    ident, entry = b"\x7fELF\x01\x01\x01", _LOAD_ADDRESS
    header = struct.pack("<16sHHIIIIIHHHHHH", ident, 2, 3, 1, entry, 52, 0, 0, 52, 32, 2, 0, 0, 0)
    size, start = len(code), headers + len(note)
    load = struct.pack("<8I", 1, start, entry, entry, size, size, 7, 1)
    notes = struct.pack("<8I", 4, headers, 0, 0, len(note), len(note), 4, 4)
    return header + load + notes + note + code


def _proof_argv(qemu_binary: str, guest: Path, accel: Accel) -> list[str]:
    return [
        qemu_binary,
        "-nodefaults",
        "-no-user-config",
        *("-display", "none"),
        *("-machine", "microvm"),
        *("-accel", accel.value),
        *("-cpu", "host" if accel is Accel.KVM else "max"),
        *("-m", "64M"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
        *("-kernel", str(guest)),
    ]


def _why_not_openable() -> str | None:
    try:
        os.close(os.open(KVM_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return f"{KVM_DEVICE} does not exist: the kvm module is not loaded."
        return f"{KVM_DEVICE} cannot be opened: {error.strerror}."
    return None
