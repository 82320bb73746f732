"""QEMU's arguments and its jail's, against golden files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from banger.host.bubblewrap import with_info
from banger.layout import Layout
from banger.model.names import VmId
from banger.model.vm import Accel
from banger.vmm.driver import MachineConfig, SharedFiles, plan_machine
from banger.vmm.jail import SEALED, JailFacts, plan_jail
from banger.vmm.qemu.argv import Descriptors, plan_argv, plan_kernel_command_line
from banger.vmm.qemu.view import plan_view
from tests.support.golden import check_golden
from tests.support.specs import make_spec

GOLDEN = Path(__file__).parent / "golden"
MAC = "02:ce:0f:c8:74:61"
JAIL = JailFacts(
    binary="/usr/bin/bwrap",
    shown=("/usr", "/etc/ld.so.cache"),
    links=(("usr/lib", "/lib"), ("usr/lib64", "/lib64")),
    is_sealed=True,
    with_parent="/opt/a b/with-parent",
)


HOME = Path("/home/u")
LAYOUT = Layout(
    config=HOME / "c",
    data=HOME / "d",
    state=HOME / "s",
    cache=HOME / "k",
    runtime=Path("/run/u"),
)


def make_config(accel: Accel, *, mac: str | None = MAC) -> MachineConfig:
    spec = make_spec(
        image="1" * 64,
        kernel="2" * 64,
        vcpu=2,
        memory_mib=1024,
        disk_mib=8192,
        accel=accel,
    )
    return plan_machine(
        layout=LAYOUT,
        vm_id=VmId("0123456789ab"),
        spec=spec,
        shared=SharedFiles(
            bzimage=HOME / "d/kernels/2/bzimage",
            vmlinux=HOME / "d/kernels/2/vmlinux",
            initramfs=HOME / "d/kernels/2/initramfs",
            root=HOME / "d/images/1/root.squashfs",
            modules=HOME / "d/kernels/2/modules.squashfs",
        ),
        mac=mac,
        tsc_khz=2_596_120,
    )


QEMU = (7, 2, 22)


def render(argv: list[str]) -> str:
    return "".join(f"{word}\n" for word in argv)


@pytest.mark.parametrize("accel", list(Accel))
@pytest.mark.parametrize("network", [True, False])
def test_qemu_arguments_are_the_golden_ones(accel: Accel, network: bool) -> None:
    config = make_config(accel, mac=MAC if network else None)
    descriptors = Descriptors(control=3, agent=4, network=5 if network else None)
    argv = plan_argv(
        config, binary="/usr/bin/qemu-system-x86_64", version=QEMU, descriptors=descriptors
    )
    name = f"qemu-{accel}{'-network' if network else ''}.txt"
    check_golden(GOLDEN / name, render(argv))


def test_a_memory_file_is_private_and_a_saved_state_is_awaited() -> None:
    """D8, E5: what a clone writes to its memory is not written to the file, nor can be."""
    memory = Path("/home/u/d/templates/3/memory")
    config = dataclasses.replace(make_config(Accel.TCG), memory=memory)
    descriptors = Descriptors(control=3, agent=4, network=5)
    argv = plan_argv(
        config, binary="/usr/bin/qemu-system-x86_64", version=QEMU, descriptors=descriptors
    )
    check_golden(GOLDEN / "qemu-tcg-clone.txt", render(argv))
    command = plan_jail(JAIL, ["qemu"], plan_view(config, preload=Path("/opt/a b/preload.so")))
    check_golden(GOLDEN / "jail-tcg-clone.txt", render(command))
    assert writable(command) == [str(config.data)]


@pytest.mark.parametrize("accel", list(Accel))
def test_jail_arguments_are_the_golden_ones(accel: Accel) -> None:
    """E5: the files that are shown are the VM's own; /dev/kvm only where it is used."""
    command = plan_jail(JAIL, ["qemu", "-S"], plan_view(make_config(accel), preload=None))
    check_golden(GOLDEN / f"jail-{accel}.txt", render(with_info(command, 6)))


def test_nothing_but_the_disk_can_be_written_to() -> None:
    """E5: the image's root and the kernel are shared by many VMs."""
    config = make_config(Accel.KVM)
    command = plan_jail(JAIL, ["qemu"], plan_view(config, preload=None))
    assert writable(command) == [str(config.data)]


def test_a_jail_that_cannot_be_sealed_is_the_same_otherwise() -> None:
    """E5: in containers, mostly."""
    view = plan_view(make_config(Accel.TCG), preload=None)
    sealed = plan_jail(JAIL, ["qemu"], view)
    open_ = plan_jail(dataclasses.replace(JAIL, is_sealed=False), ["qemu"], view)
    assert [word for word in sealed if word != SEALED] == open_ != sealed


def writable(command: list[str]) -> list[str]:
    """The files that a jail shows for writing."""
    return [command[i + 1] for i, word in enumerate(command) if word == "--bind"]


def test_a_kernel_without_a_module_tree_has_no_disk_for_it() -> None:
    config = make_config(Accel.TCG)
    bare = dataclasses.replace(config, shared=dataclasses.replace(config.shared, modules=None))
    descriptors = Descriptors(control=3, agent=4, network=None)
    argv = plan_argv(bare, binary="qemu", version=QEMU, descriptors=descriptors)
    assert not any("serial=modules" in word for word in argv)
    assert config.shared.modules not in plan_view(bare, preload=None).readable


def test_a_comma_in_a_path_does_not_end_an_option() -> None:
    config = dataclasses.replace(make_config(Accel.TCG), data=Path("/a,b/data.img"))
    descriptors = Descriptors(control=3, agent=4, network=None)
    argv = plan_argv(config, binary="qemu", version=QEMU, descriptors=descriptors)
    assert any('"filename": "/a,b/data.img"' in word for word in argv)


def test_an_emulated_guest_is_told_the_frequency_of_its_clock() -> None:
    """Without it the kernel calibrates against an emulated timer, and hangs."""
    emulated = make_config(Accel.TCG)
    assert "tsc_early_khz=2596120" in plan_kernel_command_line(emulated, version=QEMU).split()
    unknown = dataclasses.replace(emulated, tsc_khz=None)
    assert "tsc_early_khz" not in plan_kernel_command_line(unknown, version=QEMU)
    assert "tsc_early_khz" not in plan_kernel_command_line(make_config(Accel.KVM), version=QEMU)


@pytest.mark.parametrize(
    ("accel", "version", "is_fixed"),
    [
        (Accel.TCG, (7, 2, 22), True),
        (Accel.TCG, (8, 0, 0), False),
        (Accel.KVM, (7, 2, 22), False),
    ],
)
def test_addresses_are_random_unless_that_makes_emulation_slow(
    accel: Accel, version: tuple[int, ...], is_fixed: bool
) -> None:
    """An old QEMU translates a program anew for each address: a command takes four times longer."""
    words = plan_kernel_command_line(make_config(accel), version=version).split()
    assert ("norandmaps" in words) == is_fixed
