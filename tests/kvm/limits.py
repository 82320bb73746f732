"""What the user's service manager does for VMs: limits, and a life that is not the daemon's.

The emulated host is booted by systemd, and its ordinary user's manager runs without a session
(`loginctl enable-linger`). Commands run outside of it, in a control group of the system's, as those
of a login session do: the manager has each VM moved by the system's manager.
"""

from __future__ import annotations

import json

from tests.kvm.machine import STRANGER, Ended, Host
from tests.kvm.supplies import UID
from tests.kvm.vms import VM, banger, boot_id, list_vms, small

UNITS = f"/sys/fs/cgroup/user.slice/user-{UID}.slice/user@{UID}.service/app.slice"
OUTSIDE = "/sys/fs/cgroup/init.scope"
"""Where commands run here."""
MIB = 2**20
UNIT = "daemon-under-test.service"
KEPT = "kept"


async def doctor_knows_scopes(host: Host) -> None:
    """`doctor` finds the user's manager; who has none is told how to get one (H8)."""
    report = await host.banger("doctor", "--json")
    fact = "Each VM has a scope of its own, with limits on memory, cpu, pids."
    assert _find_limits(report) == ("ok", fact, None), report.out
    report = await host.banger("doctor", "--json", user=STRANGER)
    state, fact, hint = _find_limits(report)
    assert (state, hint) == ("warn", "loginctl enable-linger"), fact


async def vms_have_scopes_of_their_own(host: Host) -> None:
    """E5: all that runs of a VM is in its scope, which is held to what the VM was promised."""
    group = f"{UNITS}/banger-{await _find_id(host, VM)}.scope"
    limits = "memory.max cpu.max pids.max"
    read = f"cd {group} && cat {limits} && ps -o comm= -p $(paste -sd, cgroup.procs)"
    memory, cpu, pids, *programs = (await host.shell(read)).expect().out.splitlines()
    assert int(memory) == (256 + 512) * MIB, memory
    assert cpu == "200000 100000", cpu
    assert int(pids) == 129, pids
    names = sorted(program.split(".")[0] for program in programs)
    assert names == ["banger-guard", "bwrap", "passt", "qemu-system-x86"], programs


async def ending_the_daemons_unit_leaves_its_vms(host: Host) -> None:
    """B12, B11: a VM that was started by a unit's daemon has not noticed that the unit was ended.

    A VM that has no scope, as one of an older banger, is adopted into one. One whose scope has no
    memory left dies alone: the one beside it goes on (E5).
    """
    await banger(host, "daemon", "stop")
    start = f"systemd-run --user --quiet --collect --unit {UNIT} banger daemon run"
    (await host.shell(start)).expect()
    until = "until banger daemon status --json >status; do sleep 0.5; done; cat status"
    status = (await host.shell(f"timeout 60 sh -c '{until}' 2>/dev/null")).expect().out
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
    adopted = f"until grep -q . {group}/cgroup.procs; do sleep 0.5; done"
    (await host.shell(f"timeout 60 sh -c '{adopted}' 2>/dev/null")).expect()
    unit = f"banger-{await _find_id(host, KEPT)}.scope"
    (await host.shell(f"systemctl --user set-property --runtime {unit} MemoryMax=8M")).expect()
    until = (
        f'until [ -z "$(systemctl --user list-units --all --quiet {unit})" ]; do sleep 0.5; done'
    )
    (await host.shell(f"timeout 60 sh -c '{until}'")).expect()
    states = {vm["name"]: vm["state"] for vm in await list_vms(host)}
    assert states[KEPT] != "running" and states[VM] == "running", states
    assert await boot_id(host) == before[1]
    await banger(host, "vm", "delete", KEPT)


def _find_limits(report: Ended) -> tuple[str, str, str | None]:
    checks = json.loads(report.out)["checks"]
    found = [(c["state"], c["fact"], c["hint"]) for c in checks if c["name"] == "limits"]
    assert len(found) == 1, report
    return found[0]


async def _find_id(host: Host, name: str) -> str:
    return str(next(vm["id"] for vm in await list_vms(host) if vm["name"] == name))
