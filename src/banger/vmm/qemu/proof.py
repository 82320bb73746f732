"""The proof that QEMU runs a guest here, on KVM or emulated: it runs one of ten bytes to its end.

Software-only KVM back ends make QEMU abort on a model-specific register, or crawl. Starts QEMU
for a moment with a guest in a file in memory, so that nothing is left whoever dies.
"""

from __future__ import annotations

import struct

from banger.errors import BangerError
from banger.host import programs
from banger.host.files import memory_file
from banger.model.vm import Accel

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


async def find_failure(qemu_binary: str, accel: Accel) -> str | None:
    """Run the proof's guest; return why it did not run to its end, or None."""
    with memory_file(render_pvh_guest(PROOF_CODE)) as guest:
        argv = _proof_argv(qemu_binary, f"/proc/self/fd/{guest}", accel)
        try:
            await programs.run(
                argv, deadline_s=PROOF_DEADLINE_S, pass_fds=(guest,), ok=(PROOF_STATUS,)
            )
        except BangerError as error:
            return f"A test guest of a few instructions does not run with {accel}: {error.message}"
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


def _proof_argv(qemu_binary: str, guest: str, accel: Accel) -> list[str]:
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
        *("-kernel", guest),
    ]
