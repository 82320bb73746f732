"""Which of a kernel's two files QEMU boots: an emulated guest the uncompressed one, where it can.

A bzImage is unpacked and relocated by the guest, at each boot; QEMU maps an ELF file, and enters it
by PVH at the address in its notes (Xen's docs/misc/pvh.pandoc; Linux since 5.0 with CONFIG_PVH).
Reads the file's headers and notes; anything odd in them means that the bzImage is booted.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from banger.model.vm import Accel
from banger.vmm.driver import MachineConfig

ENTRY = (b"Xen\0", 18)
"""Owner and type of the note: XEN_ELFNOTE_PHYS32_ENTRY."""
NOTES_MAX_BYTES = 65536
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_NOTE = struct.Struct("<III")
_PT_NOTE = 4


def choose_kernel(config: MachineConfig) -> MachineConfig:
    """Return the machine with the kernel file to boot as its `bzimage`.

    On KVM it is always the bzImage, whose kernel chooses random addresses for itself.
    """
    if config.accel is not Accel.TCG or not has_entry(config.shared.vmlinux):
        return config
    shared = dataclasses.replace(config.shared, bzimage=config.shared.vmlinux)
    return dataclasses.replace(config, shared=shared)


def has_entry(kernel: Path) -> bool:
    """Tell whether a file is a 64-bit kernel that can be entered by PVH."""
    try:
        with kernel.open("rb") as file:
            return ENTRY in _read_notes(file)
    except (OSError, OverflowError, struct.error):
        return False


def _read_notes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield owner and type of each note."""
    header = _HEADER.unpack(file.read(_HEADER.size))
    untrusted_offset, untrusted_size, untrusted_count = header[5], header[9], header[10]
    if header[0][:6] != b"\x7fELF\x02\x01" or untrusted_size != _SEGMENT.size:
        return
    file.seek(untrusted_offset)
    table = file.read(_SEGMENT.size * untrusted_count)
    for kind, _, untrusted_at, _, _, untrusted_length, _, _ in _SEGMENT.iter_unpack(table):
        if kind == _PT_NOTE and untrusted_length <= NOTES_MAX_BYTES:
            file.seek(untrusted_at)
            yield from _split_notes(file.read(untrusted_length))


def _split_notes(untrusted_notes: bytes) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at + _NOTE.size <= len(untrusted_notes):
        name_size, size, kind = _NOTE.unpack_from(untrusted_notes, at)
        at += _NOTE.size
        yield untrusted_notes[at : at + name_size], kind
        at += _pad(name_size) + _pad(size)


def _pad(size: int) -> int:
    """Return a size with the padding behind it."""
    return -(-size // 4) * 4
