"""What QEMU says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import ToolFailed
from banger.vmm.qemu.probe import parse_version


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)", (7, 2, 22)),
        ("QEMU emulator version 10.1\nCopyright", (10, 1, 0)),
        ("QEMU emulator version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)", (8, 2, 2)),
    ],
)
def test_the_version_is_read(said: str, version: tuple[int, int, int]) -> None:
    assert parse_version(said) == version


@given(st.text())
def test_anything_else_is_an_error_of_ours(said: str) -> None:
    try:
        parse_version(said)
    except ToolFailed:
        return
    assert "version " in said
