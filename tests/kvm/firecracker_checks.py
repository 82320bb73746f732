"""The same verbs on Firecracker, the real one, as the ordinary user handles them.

Each check names the driver itself; the checks of `checks.py` run on the default one.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

from tests.kvm.firecracker import find_other
from tests.kvm.limits import MIB, read_scope
from tests.kvm.machine import HOME, INSIDE, USER, Host
from tests.kvm.supplies import OTHER_FIRECRACKER, UID
from tests.kvm.vms import (
    Check,
    Scenario,
    banger,
    boot_id,
    list_vms,
    nothing_is_left,
    small,
    state_of,
)
from tests.support.firecracker.answers import find_differences, load_heard

VM = "burning"
CLONES = 10
DRIVER = ("--driver", "firecracker", "--network", "none")


async def firecracker_passes_the_status_on(host: Host) -> None:
    """`vm run --rm`: said in the spec line, seen in the guest, and its status (H1)."""
    script = "cat /sys/devices/virtual/dmi/id/* 2>/dev/null; nproc; exit 7"
    run = ("vm", "run", "--rm", "--no-template", *small(host), *DRIVER)
    ended = await host.banger(*run, "--", "sh", "-c", script)
    ended.expect(7)
    assert "| firecracker/kvm" in ended.err, ended.err
    assert ended.out.split()[-1] == "1", ended.out


async def auto_is_firecracker(host: Host) -> None:
    """Installed, and proven to run guests on KVM: `auto` takes it, and `doctor` says so."""
    auto = "env BANGER_DRIVER=auto BANGER_NETWORK=none banger"
    report = json.loads((await host.shell(f"{auto} doctor --json")).out)
    facts = [check["fact"] for check in report["checks"] if check["name"] == "accel"]
    assert facts == ["Guests run on KVM, by firecracker. A guest was run on KVM."], facts
    run = f"{auto} vm run --rm {shlex.join(small(host))} -- true"
    ended = (await host.shell(run)).expect()
    assert "| firecracker/kvm" in ended.err, ended.err


async def firecracker_is_confined(host: Host) -> None:
    """E5: it runs in the jail, which shows it KVM and the VM's own files."""
    await banger(host, "vm", "create", "--no-template", "--name", VM, *small(host), *DRIVER)
    assert await state_of(host, VM) == "running"
    processes = (await host.root(f"ps -u {USER} -o args= -ww")).expect().out.splitlines()
    (jail,) = [line for line in processes if "bwrap" in line.split()[0] and "--api-sock" in line]
    assert "--dev-bind /dev/kvm /dev/kvm" in jail and "--unshare-net" in jail, jail
    assert "--ro-bind /usr /usr" not in jail, jail  # nothing of the system: it is a static program


async def firecracker_has_limits(host: Host) -> None:
    """E5: all that runs of a VM is in its scope, which is held to what the VM was promised."""
    limits, programs = await read_scope(host, VM)
    assert limits == [f"{(256 + 256) * MIB}", "200000 100000", "33"], limits
    assert programs == ["bwrap", "firecracker"], programs


async def firecracker_passes_all_bytes(host: Host) -> None:
    """H7: three million bytes of all values, both ways and the same; statuses and signals (H1)."""
    script = (
        f"cd {HOME} && head -c 3000000 /dev/urandom >bytes && "
        f"banger vm exec -i {VM} -- cat <bytes >echoed && cmp bytes echoed"
    )
    (await host.shell(script)).expect()
    for command, status in (("exit 42", 42), ("kill -9 $$", 137)):
        (await host.banger("vm", "exec", VM, "--", "sh", "-c", command)).expect(status)


async def firecracker_has_a_console(host: Host) -> None:
    """What is typed reaches the guest's serial line, as `vm console` types it."""
    read = f"banger vm exec -d {VM} -- sh -c 'cat </dev/ttyS0 >/dev/shm/typed'"
    await host.shell(read)
    (vm_id,) = [str(vm["id"]) for vm in await list_vms(host) if vm["name"] == VM]
    typing = f"printf 'typed\\r' >/run/user/{UID}/banger/vms/{vm_id}/console.in"
    arrived = f"banger vm exec {VM} -- grep -qs typed /dev/shm/typed"
    until = f'timeout 60 sh -c "until {arrived}; do {typing}; sleep 0.5; done"'
    (await host.shell(until)).expect()


async def firecracker_pauses_and_resumes(host: Host) -> None:
    """A paused guest stands still; its clock is right when it goes on (D1)."""
    before = await boot_id(host, VM)
    await banger(host, "vm", "pause", VM)
    assert await state_of(host, VM) == "paused"
    await banger(host, "vm", "resume", VM)
    assert await boot_id(host, VM) == before
    inside = int((await banger(host, "vm", "exec", VM, "--", "date", "+%s")).out)
    assert abs(inside - int((await host.shell("date +%s")).expect().out)) <= 30, inside


async def firecracker_is_adopted(host: Host) -> None:
    """B11: a killed daemon's VM is adopted by the next one, and has not noticed."""
    before = await boot_id(host, VM)
    status = json.loads((await banger(host, "daemon", "status", "--json")).out)
    (await host.shell(f"kill -9 {status['pid']}")).expect()
    assert await boot_id(host, VM) == before


async def firecracker_keeps_what_was_written(host: Host) -> None:
    """A1: `stop` and `start`: another boot, the same data; a guest's reset ends the VM."""
    before = await boot_id(host, VM)
    write = "echo kept >/root/kept; echo overlay >/etc/kept"
    await banger(host, "vm", "exec", VM, "--", "sh", "-c", write)
    await banger(host, "vm", "stop", VM)
    assert await state_of(host, VM) == "stopped"
    await banger(host, "vm", "start", VM)
    ended = await banger(host, "vm", "exec", VM, "--", "cat", "/root/kept", "/etc/kept")
    assert ended.out == "kept\noverlay\n", ended
    assert await boot_id(host, VM) != before


async def firecracker_ends_by_a_reset(host: Host) -> None:
    """H2: a panic resets by a triple fault, which ends Firecracker; exec wakes."""
    crash = "echo c >/proc/sysrq-trigger; sleep 7000"
    (await host.banger("vm", "exec", VM, "--", "sh", "-c", crash)).expect(125)
    until = f"until banger vm list --filter state=stopped | grep -q {VM}; do sleep 0.2; done"
    (await host.shell(f"timeout 60 sh -c '{until}'")).expect()
    log = await banger(host, "vm", "logs", "--console", VM)
    assert "sysrq triggered crash" in log.out, log


async def firecracker_ends_with_a_guest_that_halts(host: Host) -> None:
    """A guest that powers itself off stops its processors, and then the VM is stopped.

    By hand (`hold check`): QEMU's emulation of SVM often stands still for minutes, the whole host
    with it, once a guest halts with interrupts off (ADR 0030).
    """
    await banger(host, "vm", "create", "--no-template", "--name", VM, *small(host), *DRIVER)
    off = "echo o >/proc/sysrq-trigger; sleep 7000"
    (await host.banger("vm", "exec", VM, "--", "sh", "-c", off)).expect(125)
    until = f"until banger vm list --filter state=stopped | grep -q {VM}; do sleep 0.2; done"
    (await host.shell(f"timeout 60 sh -c '{until}'")).expect()
    await firecracker_is_deleted(host)


async def firecracker_clones_are_new_machines(host: Host) -> None:
    """D2, D8: ten clones of one template, with ten identities and random bytes; each writes its own
    disk and memory."""
    script = "cat /etc/machine-id /etc/hostname; head -c 16 /dev/urandom | od -An -tx1 | tr -d ' '"
    create = ("vm", "create", *small(host), *DRIVER)
    names = [f"clone-{number}" for number in range(CLONES)]
    seen = []
    for name in names:
        ended = await banger(host, *create, "--name", name)
        assert "notice" not in ended.err, ended.err
        seen.append((await _sh(host, name, f"{script}; echo {name} >/dev/shm/word")).split())
        assert seen[-1][1] == name, seen
    assert all(len(set(column)) == CLONES for column in zip(*seen, strict=True)), seen
    assert [await _sh(host, name, "cat /dev/shm/word") for name in names] == names
    templates = json.loads((await banger(host, "template", "list", "--json")).out)
    assert [t for t in templates if t["uses"] >= CLONES - 1], templates  # the first had it made
    await banger(host, "vm", "delete", *names)


async def firecracker_forks_go_on_from_where_it_was(host: Host) -> None:
    """D7, D8: four live forks with their data, a snapshot taken back; each save is whole."""
    await banger(host, "vm", "create", "--name", "origin", *small(host), *DRIVER)
    write = "head -c 20000000 /dev/urandom >/dev/shm/bytes; cp /dev/shm/bytes /root/bytes; sync"
    sums = "sha256sum </dev/shm/bytes; sha256sum </root/bytes"
    await _sh(host, "origin", write)
    expected = await _sh(host, "origin", sums)
    await banger(host, "vm", "snapshot", "create", "origin", "before")
    await banger(host, "vm", "fork", "origin", "-n", "4")
    forks = [f"origin-{number}" for number in range(1, 5)]
    for name in (*forks, "origin"):
        assert await _sh(host, name, sums) == expected, name
        await _sh(host, name, f"echo {name} >/dev/shm/bytes")
    for name in (*forks, "origin"):
        assert await _sh(host, name, "cat /dev/shm/bytes /etc/hostname") == f"{name} {name}"
    await banger(host, "vm", "snapshot", "restore", "origin", "before")
    assert await _sh(host, "origin", sums) == expected
    await banger(host, "vm", "fork", "origin-1", "--name", "grandchild")
    assert await _sh(host, "grandchild", "cat /dev/shm/bytes") == "origin-1"
    await banger(host, "vm", "delete", "origin", *forks, "grandchild")


async def _sh(host: Host, vm: str, script: str) -> str:
    """Return what a script in a guest says, with single spaces."""
    return " ".join((await banger(host, "vm", "exec", vm, "--", "sh", "-c", script)).out.split())


async def firecracker_answers_as_its_stand_in(host: Host) -> None:
    """What the stand-in of other tests answers is what the real one says today."""
    ended = await host.shell(f"python3 {INSIDE}/answers.py firecracker $(mktemp -d)")
    found = find_differences(load_heard("1.12.1"), json.loads(ended.expect().out))
    assert found == [], found


async def firecracker_is_deleted(host: Host) -> None:
    """No directory of the VM is left."""
    (vm_id,) = [str(vm["id"]) for vm in await list_vms(host) if vm["name"] == VM]
    await banger(host, "vm", "delete", VM)
    assert VM not in [vm["name"] for vm in await list_vms(host)]
    places = f"{HOME}/.local/state/banger/vms/{vm_id} /run/user/{UID}/banger/vms/{vm_id}"
    assert (await host.root(f"ls -d {places}")).out == ""


def _on_other(check: Check) -> Check:
    """Return the check, but on the Firecracker that the caller has named."""

    async def check_other(host: Host) -> None:
        variables = {**host.variables, "BANGER_FIRECRACKER_BINARY": OTHER_FIRECRACKER}
        await check(replace(host, variables=variables))

    check_other.__name__ = f"{check.__name__}_with_the_other_one"
    return check_other


_SCENARIOS: tuple[Scenario, ...] = (
    (firecracker_passes_the_status_on,),
    (auto_is_firecracker,),
    (
        firecracker_is_confined,
        firecracker_has_limits,
        firecracker_passes_all_bytes,
        firecracker_has_a_console,
        firecracker_pauses_and_resumes,
        firecracker_is_adopted,
        firecracker_keeps_what_was_written,
        firecracker_ends_by_a_reset,
        firecracker_is_deleted,
    ),
    (firecracker_clones_are_new_machines,),
    (firecracker_forks_go_on_from_where_it_was, nothing_is_left),
)
SCENARIOS = (
    (firecracker_answers_as_its_stand_in,),
    *_SCENARIOS,
    *(tuple(map(_on_other, scenario)) for scenario in _SCENARIOS if find_other()),
)
BY_HAND: tuple[Check, ...] = (firecracker_ends_with_a_guest_that_halts,)
