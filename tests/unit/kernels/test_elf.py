"""ELF files from packages are foreign bytes: read within bounds, or refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.kernels.elf import MACHINES, NotElf, read_machine, read_section
from tests.unit.kernels.samples import elf

SAMPLE = elf({".text": b"code", ".modinfo": b"depends=a\0"})


def test_a_section_is_found_by_its_whole_name() -> None:
    assert read_section(SAMPLE, ".modinfo") == b"depends=a\0"
    assert read_section(SAMPLE, ".modinf") is None
    assert read_machine(SAMPLE) == MACHINES["x86_64"]


@pytest.mark.parametrize(
    "untrusted_file",
    [b"", b"\x7fELF", b"\x7fELF\x01\x01\x01" + SAMPLE[7:], SAMPLE[:200], SAMPLE[:-1]],
)
def test_what_is_no_elf_or_cut_short_is_refused(untrusted_file: bytes) -> None:
    with pytest.raises(NotElf):
        read_section(untrusted_file, ".modinfo")


@given(at=st.integers(0, len(SAMPLE) - 1), value=st.integers(0, 255))
def test_one_wrong_byte_anywhere_gives_a_section_or_a_refusal(at: int, value: int) -> None:
    untrusted_file = SAMPLE[:at] + bytes([value]) + SAMPLE[at + 1 :]
    try:
        section = read_section(untrusted_file, ".modinfo")
    except NotElf:
        return
    assert section is None or section in untrusted_file


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_magic_give_a_section_or_a_refusal(noise: bytes) -> None:
    with contextlib.suppress(NotElf):
        read_section(b"\x7fELF\x02\x01\x01" + noise, ".modinfo")
