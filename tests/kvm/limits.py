"""What the user's service manager does for VMs: limits, and a life that is not the daemon's.

The emulated host is booted by systemd, and its ordinary user's manager runs without a session
(`loginctl enable-linger`). Commands run outside of it, in a control group of the system's, as those
of a login session do: the manager has each VM moved by the system's manager.
"""

from __future__ import annotations

import json

from tests.kvm.machine import HOME, Host
from tests.kvm.supplies import UID
from tests.kvm.vms import VM, banger, boot_id, list_vms, small

UNITS = f"/sys/fs/cgroup/user.slice/user-{UID}.slice/user@{UID}.service/app.slice"
OUTSIDE = "/sys/fs/cgroup/init.scope"
"""Where commands run here."""
MIB = 2**20
UNIT = "daemon-under-test.service"
KEPT = "kept"


async def vms_have_scopes_of_their_own(host: Host) -> None:
    """E5: all that runs of a VM is in its scope, which is held to what the VM was promised."""
    limits, programs = await read_scope(host, VM)
    assert limits == [f"{(256 + 512) * MIB}", "200000 100000", "129"], limits
    expected = ["banger-egress-f", "bwrap", "bwrap", "qemu-system-x86", "slirp4netns"]
    assert programs == expected, programs


async def read_scope(host: Host, name: str) -> tuple[list[str], list[str]]:
    """Return the limits of a VM's scope, of memory, processor and tasks, and what runs in it."""
    group = f"{UNITS}/banger-{await _find_id(host, name)}.scope"
    limits = "memory.max cpu.max pids.max"
    read = f"cd {group} && cat {limits} && ps -o comm= -p $(paste -sd, cgroup.procs)"
    *found, programs = (await host.shell(read)).expect().out.split("\n", 3)
    return found, sorted(program.split(".")[0] for program in programs.splitlines())


async def ending_the_daemons_unit_leaves_its_vms(host: Host) -> None:
    """B12, B11: a VM that was started by a unit's daemon has not noticed that the unit was ended.

    A VM that has no scope, as one of an older banger, is adopted into one.
    """
    await banger(host, "daemon", "stop")
    start = f"systemd-run --user --quiet --collect --unit {UNIT} banger daemon run"
    (await host.shell(start)).expect()
    until = f"until banger daemon status --json >{HOME}/status; do sleep 0.5; done"
    await _wait(host, until)
    status = (await host.shell(f"cat {HOME}/status")).expect().out
    inside = f"cat /proc/{json.loads(status)['pid']}/cgroup"
    assert UNIT in (await host.shell(inside)).expect().out
    await banger(host, "vm", "create", "--name", KEPT, *small(host), "--network", "none")
    before = await boot_id(host, KEPT), await boot_id(host)
    group = f"{UNITS}/banger-{await _find_id(host, VM)}.scope"
    take = f"for each in $(cat {group}/cgroup.procs); do echo $each >{OUTSIDE}/cgroup.procs; done"
    (await host.root(take)).expect()
    (await host.shell(f"systemctl --user stop {UNIT}")).expect()
    (await host.shell(f"systemctl --user --quiet is-active {UNIT}")).expect(3)
    assert (await boot_id(host, KEPT), await boot_id(host)) == before
    await _wait(host, f"until grep -q . {group}/cgroup.procs; do sleep 0.5; done")


async def a_vm_that_takes_too_much_dies_alone(host: Host) -> None:
    """E5: a scope that has no memory left ends its VM; another one goes on."""
    before = await boot_id(host)
    unit = f"banger-{await _find_id(host, KEPT)}.scope"
    (await host.shell(f"systemctl --user set-property --runtime {unit} MemoryMax=32M")).expect()
    # Pages that it had before it came into the scope are not counted there; new ones are.
    taking = "head -c 150000000 /dev/zero | tail -c 150000000 >/dev/null"
    (await host.banger("vm", "exec", KEPT, "--", "sh", "-c", taking)).expect(125)
    until = f'until [ -z "$(systemctl --user list-units --all --quiet {unit})" ]'
    await _wait(host, f"{until}; do sleep 0.5; done")
    assert await boot_id(host) == before
    await banger(host, "vm", "delete", KEPT)


async def _wait(host: Host, until: str) -> None:
    (await host.shell(f"timeout 60 sh -c '{until}' 2>/dev/null")).expect()


async def _find_id(host: Host, name: str) -> str:
    return str(next(vm["id"] for vm in await list_vms(host) if vm["name"] == name))
