"""Every driver is asked about a kernel that is imported, and a VM's own when it is made."""

from __future__ import annotations

import pytest

from banger import words
from banger.engine import Engine
from banger.engine.verbs.kernels import require_boots
from banger.errors import KernelUnfit
from banger.kernels import kernel_dir
from banger.layout import Layout
from banger.model.artifacts import Kernel, KernelForm
from banger.vmm.table import find_kernel_obstacle
from tests.component.engine.test_recovery import layout, with_engine

__all__ = ["layout"]  # a fixture


def form(*options: str, is_compressed: bool = False) -> KernelForm:
    return KernelForm(is_compressed=is_compressed, has_option=lambda option: option in options)


def kernel(boot: str) -> Kernel:
    return Kernel(
        digest="k" * 64,
        name="mine",
        version="6.1.0",
        arch="x86_64",
        created_at=1.0,
        bzimage=boot,
        vmlinux="vmlinux",
        initramfs="initramfs",
        config="config",
        modules=(),
        hashes={},
        agent_version="1",
    )


def test_a_kernel_is_kept_if_any_driver_boots_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_kernel_obstacle(form(is_compressed=True)) is None
    assert find_kernel_obstacle(form("PVH")) is None
    # Firecracker boots all that are uncompressed.
    monkeypatch.setitem(words.DRIVERS, "firecracker", words.DRIVERS["qemu"])
    assert "CONFIG_PVH" in (find_kernel_obstacle(form("PLAIN")) or "")
    monkeypatch.setitem(words.DRIVERS, "plain", "tests.support.toys.plain")
    assert find_kernel_obstacle(form("PLAIN")) is None
    assert "CONFIG_PVH" in (find_kernel_obstacle(form()) or "")


@pytest.mark.parametrize(
    ("driver", "boot", "config", "said"),
    [
        ("qemu", "bzimage", None, None),  # the configuration is not even read
        ("qemu", "vmlinux", "CONFIG_PVH=y\n", None),
        ("qemu", "vmlinux", "CONFIG_PLAIN=y\n", "CONFIG_PVH"),
        ("qemu", "vmlinux", None, "cannot be read"),
        ("firecracker", "vmlinux", "CONFIG_PLAIN=y\n", None),
        ("plain", "vmlinux", "CONFIG_PLAIN=y\n", None),
        ("plain", "bzimage", "CONFIG_PVH=y\n", "CONFIG_PLAIN"),
    ],
)
def test_a_vm_is_refused_a_kernel_that_its_driver_does_not_boot(
    layout: Layout,
    monkeypatch: pytest.MonkeyPatch,
    driver: str,
    boot: str,
    config: str | None,
    said: str | None,
) -> None:
    """C7, H6."""
    monkeypatch.setitem(words.DRIVERS, "plain", "tests.support.toys.plain")
    folder = kernel_dir(layout, kernel(boot))
    folder.mkdir(parents=True)
    if config is not None:
        (folder / "config").write_text(config)

    async def ask(engine: Engine) -> None:
        if said is None:
            require_boots(engine, kernel(boot), driver)
            return
        with pytest.raises(KernelUnfit, match=said):
            require_boots(engine, kernel(boot), driver)

    with_engine(layout, ask)
