"""Bytes are found in a template's memory, wherever between its holes."""

from __future__ import annotations

import os
from pathlib import Path

from banger.templates.saved import MEMORY
from tests.component.vmm.machines import make_layout
from tests.support.templates import is_in_memory

MIB = 2**20


def test_bytes_between_holes_are_found(tmp_path: Path) -> None:
    layout = make_layout(tmp_path)
    memory = layout.template_dir("key") / MEMORY
    memory.parent.mkdir(parents=True)
    memory.touch()
    os.truncate(memory, 8 * MIB)
    assert not is_in_memory(layout, "key", b"secret")
    with memory.open("r+b") as file:
        for at in (2 * MIB + 4090, 8 * MIB - 6):
            file.seek(at)
            file.write(b"secret")
            file.flush()
            assert is_in_memory(layout, "key", b"secret")
            file.seek(at)
            file.write(bytes(6))
            file.flush()
            assert not is_in_memory(layout, "key", b"secret")
