"""Which file of a kernel QEMU boots."""

from __future__ import annotations

import dataclasses

import pytest

from banger.model.vm import Accel
from banger.vmm.qemu.pvh import choose_kernel
from tests.unit.vmm.test_qemu_argv import make_config


@pytest.mark.parametrize(
    ("accel", "has_pvh", "name"),
    [(Accel.TCG, True, "vmlinux"), (Accel.TCG, False, "bzimage"), (Accel.KVM, True, "bzimage")],
)
def test_emulated_guests_boot_the_uncompressed_kernel(
    accel: Accel, has_pvh: bool, name: str
) -> None:
    config = make_config(accel)
    shared = dataclasses.replace(config.shared, has_pvh=has_pvh)
    chosen = choose_kernel(dataclasses.replace(config, shared=shared))
    assert chosen.shared == dataclasses.replace(shared, bzimage=getattr(shared, name))
