"""The proof that Firecracker runs a guest here: it runs one of a few instructions to its end.

Starts Firecracker for a moment with a guest in a file in memory, so that nothing is left whoever
dies. KVM back ends in software only make it fail on a model-specific register, or crawl.
"""

from __future__ import annotations

import struct

import msgspec

from banger.errors import BangerError
from banger.host import programs
from banger.host.files import memory_file
from banger.vmm.firecracker.shapes import BootSource, MachineConfiguration, VmConfiguration

PROOF_DEADLINE_S = 20.0
MEMORY_MIB = 128
SAID = b"banger"
LOAD_ADDRESS = 0x1000000
"""Above what Firecracker keeps for itself (1 MiB)."""


async def find_failure(binary: str) -> str | None:
    """Run the proof's guest; return why it did not run to its end, or None."""
    with (
        memory_file(render_guest(SAID)) as guest,
        memory_file(msgspec.json.encode(_plan(f"/proc/self/fd/{guest}"))) as machine,
    ):
        argv = [binary, "--no-api", "--config-file", f"/proc/self/fd/{machine}", "--level", "Error"]
        try:
            ended = await programs.run(argv, deadline_s=PROOF_DEADLINE_S, pass_fds=(guest, machine))
        except BangerError as error:
            return f"A test guest of a few instructions does not run: {error.message}"
    if SAID not in ended.stdout:
        return "A test guest of a few instructions has not run."
    return None


def render_guest(said: bytes) -> bytes:
    """Return a kernel file (a 64-bit ELF) that writes to the serial port and resets the machine."""
    code = b"".join(_write_byte(byte) for byte in said) + RESET
    start = 64 + 56
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, 2, 62, 1, LOAD_ADDRESS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    size = len(code)
    load = struct.pack("<IIQQQQQQ", 1, 7, start, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 0x1000)
    return header + load + code


RESET = bytes.fromhex(
    "b0fe"  # mov $0xfe, %al
    "e664"  # out %al, $0x64: the keyboard controller's reset, which ends Firecracker
    "f4"  #   hlt
    "ebfd"  # jmp back to hlt
)


def _write_byte(byte: int) -> bytes:
    """Return the code that writes a byte to the first serial port."""
    return bytes.fromhex("66baf803") + bytes((0xB0, byte)) + b"\xee"


def _plan(guest: str) -> VmConfiguration:
    return VmConfiguration(
        machine_config=MachineConfiguration(vcpu_count=1, mem_size_mib=MEMORY_MIB),
        boot_source=BootSource(kernel_image_path=guest),
    )
