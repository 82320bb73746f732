"""Which file of a kernel QEMU boots."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.model.vm import Accel
from banger.vmm.qemu.pvh import choose_kernel, has_entry
from tests.unit.vmm.test_qemu_argv import make_config

ADDRESS = 0x100000
BUILD_ID = (b"GNU\0", 3, b"\x01" * 5)
ENTRY = (b"Xen\0", 18, struct.pack("<Q", ADDRESS))


def make_kernel(*notes: tuple[bytes, int, bytes], code: bytes = b"") -> bytes:
    """Return an ELF file with code to load at ADDRESS and notes: owner, type and content."""
    content = b"".join(
        struct.pack("<III", len(owner), len(value), kind)
        + b"".join(part + bytes(-len(part) % 4) for part in (owner, value))
        for owner, kind, value in notes
    )
    at = 64 + 2 * 56
    start = at + len(content)
    ident = b"\x7fELF\x02\x01\x01"
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    place = (start, ADDRESS, ADDRESS, len(code), len(code), 1)
    load = struct.pack("<IIQQQQQQ", 1, 7, *place)
    segment = struct.pack("<IIQQQQQQ", 4, 4, at, 0, 0, len(content), len(content), 4)
    return header + load + segment + content + code


WITH_ENTRY = make_kernel(BUILD_ID, ENTRY)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (WITH_ENTRY, True),
        (make_kernel(BUILD_ID), False),
        (make_kernel((b"GNU\0", 18, b"")), False),
        (make_kernel((b"Xen\0", 5, b"xen-3.0\0")), False),
        (b"MZ" + bytes(1000), False),
        (WITH_ENTRY.replace(b"\x7fELF\x02", b"\x7fELF\x01"), False),
        (b"", False),
    ],
)
def test_a_kernel_with_the_note_is_entered_by_it(
    tmp_path: Path, content: bytes, expected: bool
) -> None:
    (tmp_path / "vmlinux").write_bytes(content)
    assert has_entry(tmp_path / "vmlinux") is expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(WITH_ENTRY)), st.integers(0, 255), st.integers(0, len(WITH_ENTRY) - 1))
def test_a_damaged_file_is_no_failure(tmp_path: Path, end: int, byte: int, at: int) -> None:
    damaged = bytearray(WITH_ENTRY)
    damaged[at] = byte
    (tmp_path / "vmlinux").write_bytes(damaged[:end])
    assert has_entry(tmp_path / "vmlinux") in (True, False)


@pytest.mark.parametrize(("accel", "name"), [(Accel.TCG, "vmlinux"), (Accel.KVM, "bzimage")])
def test_emulated_guests_boot_the_uncompressed_kernel(
    tmp_path: Path, accel: Accel, name: str
) -> None:
    config = make_config(accel)
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(WITH_ENTRY)
    shared = dataclasses.replace(config.shared, vmlinux=vmlinux)
    chosen = choose_kernel(dataclasses.replace(config, shared=shared))
    assert chosen.shared == dataclasses.replace(shared, bzimage=getattr(shared, name))
