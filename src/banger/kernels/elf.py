"""The parts of ELF files that banger reads: the magic, the machine, one section. Pure.

Every offset and length comes from the file and is checked against its size.
Only 64-bit little-endian files, which is what x86-64 and arm64 Linux kernels and
modules are (System V ABI, gabi 4.1, "ELF Header", "Section Header").
"""

from __future__ import annotations

import struct

MACHINES = {"x86_64": 62, "aarch64": 183}
"""e_machine by architecture."""

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")


class NotElf(ValueError):
    """The bytes are not a 64-bit little-endian ELF file, or lie about themselves."""


def read_machine(untrusted_file: bytes) -> int:
    """Return e_machine.

    Raises:
        NotElf: see there.
    """
    return _header(untrusted_file)[2]


def read_section(untrusted_file: bytes, name: str) -> bytes | None:
    """Return the content of the first section of this name, or None.

    Raises:
        NotElf: a header or the section does not lie within the file.
    """
    header = _header(untrusted_file)
    offset, entry_size, count, names_index = header[6], header[11], header[12], header[13]
    if entry_size != _SECTION.size or names_index >= count:
        raise NotElf("the section table has an unknown shape")
    if offset + entry_size * count > len(untrusted_file):
        raise NotElf("the section table lies outside the file")
    sections = [_SECTION.unpack_from(untrusted_file, offset + i * entry_size) for i in range(count)]
    names = _slice(untrusted_file, sections[names_index])
    wanted = name.encode() + b"\0"
    for section in sections:
        if names[section[0] : section[0] + len(wanted)] == wanted:
            return _slice(untrusted_file, section)
    return None


def _header(untrusted_file: bytes) -> tuple[int, ...]:
    if len(untrusted_file) < _HEADER.size or not untrusted_file.startswith(b"\x7fELF\x02\x01\x01"):
        raise NotElf("it is not a 64-bit little-endian ELF file")
    return _HEADER.unpack_from(untrusted_file)


def _slice(untrusted_file: bytes, section: tuple[int, ...]) -> bytes:
    offset, size = section[4], section[5]
    if offset + size > len(untrusted_file):
        raise NotElf("a section lies outside the file")
    return untrusted_file[offset : offset + size]
