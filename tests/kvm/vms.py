"""The VMs of the emulated host, as its ordinary user handles them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from tests.kvm.machine import HOME, USER, Ended, Host
from tests.kvm.supplies import UID

Check = Callable[[Host], Awaitable[None]]
Scenario = tuple[Check, ...]
"""Checks of which each begins where the one before ended."""
VM = "shared"
"""The one that most checks look at."""
SERVICE_MANAGER = ("/lib/systemd/systemd --user", "(sd-pam)", "/usr/bin/dbus-daemon --session")
"""The user's own, which lives as long as the host."""


def small(host: Host) -> tuple[str, ...]:
    """Return the sizes of a VM that boots quickly."""
    return ("--image", host.guest_image, "--memory", "256M", "--disk", "1G", "--vcpu", "1")


async def banger(host: Host, *words: str) -> Ended:
    """Run a command that has to succeed."""
    return (await host.banger(*words)).expect()


async def exec_in(host: Host, *command: str) -> Ended:
    """Run a command in the shared VM."""
    return await host.banger("vm", "exec", VM, "--", *command)


async def list_vms(host: Host) -> list[dict[str, object]]:
    """Return what `vm list` says."""
    listed: list[dict[str, object]] = json.loads((await banger(host, "vm", "list", "--json")).out)
    return listed


async def state_of(host: Host, vm: str) -> object:
    """Return the state of the VM with a name, which is there."""
    (state,) = [view["state"] for view in await list_vms(host) if view["name"] == vm]
    return state


async def delete_all(host: Host) -> None:
    """Delete what a scenario that failed has left, so that it is no other scenario's failure."""
    if names := [str(view["name"]) for view in await list_vms(host)]:
        await banger(host, "vm", "delete", *names)


async def nothing_is_left(host: Host) -> None:
    """No VM, and without the daemon no process, scope, directory, socket or user of KVM."""
    assert await list_vms(host) == []
    await banger(host, "daemon", "stop")
    processes = (await host.root(f"ps -u {USER} -o args= -ww")).expect().out.splitlines()
    ours = [line for line in processes if not line.startswith(SERVICE_MANAGER)]
    assert ours == [], ours
    units = await host.shell("systemctl --user list-units --all --quiet 'banger-*'")
    assert units.expect().out == "", units
    left = f"ls -A {HOME}/.local/state/banger/vms {HOME}/.local/share/banger/staging 2>/dev/null"
    files = (await host.shell(f"{left}; find /run/user/{UID}/banger -type s")).out.splitlines()
    assert [line for line in files if line and not line.endswith(":")] == [], files
    users = (await host.root("cat /sys/module/kvm_amd/refcnt")).expect().out
    assert int(users) == 0, f"{users} users of kvm-amd are left"


async def boot_id(host: Host, vm: str = VM) -> str:
    """Return the id of a guest's boot."""
    asked = ("vm", "exec", vm, "--", "cat", "/proc/sys/kernel/random/boot_id")
    return (await banger(host, *asked)).out
