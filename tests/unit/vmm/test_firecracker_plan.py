"""Firecracker's arguments, its machine's configuration and its jail, against golden files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import pytest

from banger.model.vm import Accel
from banger.vmm.driver import MachineConfig
from banger.vmm.firecracker.config import plan_argv, plan_configuration
from banger.vmm.firecracker.kind import DRIVER
from banger.vmm.firecracker.limits import plan_limits, plan_vmm_limits
from banger.vmm.firecracker.versions import Version
from banger.vmm.firecracker.view import plan_view
from banger.vmm.jail import plan_jail
from banger.vmm.qemu import view as qemu_view
from tests.support.golden import check_golden
from tests.unit.vmm.test_qemu_argv import GOLDEN, JAIL, LAYOUT, make_config, render

MEMORY = Path("/home/u/d/templates/3/memory")
BINARY = "/usr/bin/firecracker"


@pytest.fixture
def config() -> MachineConfig:
    return make_config(Accel.KVM, mac=None)


@pytest.mark.parametrize("version", [(1, 12, 1), (1, 17, 0)])
def test_the_machine_is_the_golden_one(config: MachineConfig, version: Version) -> None:
    machine = msgspec.json.format(msgspec.json.encode(plan_configuration(config, version=version)))
    name = "firecracker-{}.{}.{}.json".format(*version)
    check_golden(GOLDEN / name, machine.decode() + "\n")


def test_a_machine_that_boots_and_a_clone_are_started_as_the_golden_files_say(
    config: MachineConfig,
) -> None:
    """E5: the jail shows the VM's own files; a clone has no kernel, and only reads its memory."""
    clone = dataclasses.replace(config, memory=MEMORY)
    for name, machine in (("boot", config), ("clone", clone)):
        argv = plan_argv(machine, binary=BINARY)
        command = plan_jail(JAIL, argv, plan_view(machine))
        check_golden(GOLDEN / f"firecracker-{name}.txt", render(command))


def test_a_machine_with_a_network_has_a_tap_and_no_privilege_over_it() -> None:
    """E5, E4: the TAP has one name in all of them; the jail stays in the TAP's namespace."""
    config = make_config(Accel.KVM)
    machine = plan_configuration(config, version=(1, 12, 1))
    assert [(each.host_dev_name, each.guest_mac) for each in machine.network_interfaces] == [
        ("tap0", config.mac)
    ]
    view = plan_view(config)
    assert "/dev/net/tun" in view.devices
    own, joined = (plan_jail(JAIL, ["vmm"], view, keeps_network=each) for each in (False, True))
    assert [word for word in own if word != "--unshare-net"] == joined != own


def test_a_machine_without_a_network_sees_no_tap(config: MachineConfig) -> None:
    """E5."""
    assert plan_configuration(config, version=(1, 12, 1)).network_interfaces == []
    assert "/dev/net/tun" not in plan_view(config).devices


def test_the_socket_of_its_egress_policy_is_not_in_the_view() -> None:
    """E4, E5: a VMM that was taken over cannot open its VM's way out."""
    config = make_config(Accel.KVM)
    socket = LAYOUT.vm_egress_socket(config.vm_id)
    for view in (plan_view(config), qemu_view.plan_view(config, preload=None)):
        shown = (*view.readable, *view.writable)
        assert not any(socket.is_relative_to(path) for path in shown)


def test_what_a_saved_state_names_is_found_in_any_vms_directory(config: MachineConfig) -> None:
    """D8: disks and socket are relative to the working directory, which is the VM's own."""
    machine = json.loads(msgspec.json.encode(plan_configuration(config, version=(1, 17, 0))))
    paths = [drive["path_on_host"] for drive in machine["drives"]]
    assert [*paths, machine["vsock"]["uds_path"]] == ["root", "data", "modules", "agent.sock"]


def test_disks_come_in_the_order_in_which_the_guest_looks_for_them(config: MachineConfig) -> None:
    drives = plan_configuration(config, version=(1, 12, 1)).drives
    names = DRIVER.disk_names
    assert dict(zip(("/dev/vda", "/dev/vdb", "/dev/vdc"), drives, strict=True)).keys() == {
        names.root,
        names.data,
        names.modules,
    }
    assert [drive.drive_id for drive in drives] == ["root", "data", "modules"]
    bare = dataclasses.replace(config, shared=dataclasses.replace(config.shared, modules=None))
    assert len(plan_configuration(bare, version=(1, 12, 1)).drives) == 2


def test_limits_grow_with_the_guest() -> None:
    """E5: for a VMM that was taken over."""
    small = plan_limits(vcpu=1, memory_mib=256)
    assert small.memory_bytes == (256 + 256) * 2**20
    assert (small.cpu_percent, small.tasks) == (200, 33)
    of_process = plan_vmm_limits(vcpu=1, memory_mib=256, stack_bytes=8 * 2**20)
    assert min(of_process.values()) == 0, "no core dumps, which would hold the guest's memory"
    assert max(of_process.values()) == (256 + 256 + 33 * 8) * 2**20
