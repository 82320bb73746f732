"""The VMs of the emulated host, as its ordinary user handles them."""

from __future__ import annotations

import json

from tests.kvm.machine import Ended, Host

VM = "shared"
"""The one that most checks look at."""


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


async def delete_others(host: Host) -> None:
    """Delete what a check that failed has left, so that it is no other check's failure."""
    names = [str(view["name"]) for view in await list_vms(host) if view["name"] != VM]
    if names:
        await banger(host, "vm", "delete", *names)


async def boot_id(host: Host, vm: str = VM) -> str:
    """Return the id of a guest's boot."""
    asked = ("vm", "exec", vm, "--", "cat", "/proc/sys/kernel/random/boot_id")
    return (await banger(host, *asked)).out
