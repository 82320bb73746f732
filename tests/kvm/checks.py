"""What is proven inside the emulated host, in the order in which a user would do it.

Each check raises AssertionError or a BangerError when it fails; the scenario that it is of ends
there, and the others run all the same.
Few VMs are booted, since each boot is emulated twice: two that are deleted at once, and one that
the other checks share.
"""

from __future__ import annotations

import json

from tests.kvm import bridge, firecracker_checks, firecracker_network
from tests.kvm.limits import (
    a_vm_that_takes_too_much_dies_alone,
    ending_the_daemons_unit_leaves_its_vms,
    vms_have_scopes_of_their_own,
)
from tests.kvm.machine import ADDRESS, HOME, INSIDE, STRANGER, USER, Host
from tests.kvm.supplies import LOOPBACK
from tests.kvm.vms import (
    VM,
    Scenario,
    banger,
    boot_id,
    exec_in,
    list_vms,
    nothing_is_left,
    small,
    state_of,
)

PORT = 8000
GREETING = "greeted by the emulated host"

SERVER = f"""\
import socket
with socket.create_server(("0.0.0.0", {PORT})) as server:
    print("listens", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"{GREETING}\\n")
"""

REPOSITORY = f"""\
set -eu
git config --global user.name 'A User'
git config --global user.email user@example.com
git init --quiet --initial-branch main {HOME}/project
cd {HOME}/project
printf 'one\\ntwo\\n' >file
printf '#!/bin/sh\\nexit 5\\n' >run
chmod +x run
git add .
git commit --quiet --message first
printf 'changed on the host\\n' >>file
"""

CHANGE = """\
set -eu
git config user.name Guest
git config user.email guest@example.com
git commit --quiet --all --message 'in the guest'
printf 'changed in the guest\\n' >>file
printf '\\000\\001\\377' >binary
"""


async def doctor_proves_kvm(host: Host) -> None:
    """`doctor` finds a host that is ready, has run a guest on KVM, and knows of scopes (E5)."""
    report = json.loads((await host.banger("doctor", "--json")).expect().out)
    fact = _find_check(report, "accel")
    assert fact == ("ok", "Guests run on KVM, by qemu. A guest was run on KVM.", None), fact
    fact = _find_check(report, "limits")
    scopes = "Each VM has a scope of its own, with limits on memory, cpu, pids."
    assert fact == ("ok", scopes, None), fact


async def doctor_explains_a_closed_device(host: Host) -> None:
    """A user who may not open /dev/kvm, and has no manager, is told what changes that (H8)."""
    report = json.loads((await host.banger("doctor", "--json", user=STRANGER)).out)
    state, fact, hint = _find_check(report, "accel")
    assert state == "warn", fact
    assert "/dev/kvm cannot be opened: Permission denied." in fact, fact
    assert hint == f"sudo usermod --append --groups kvm {STRANGER}", hint
    state, fact, hint = _find_check(report, "limits")
    assert (state, hint) == ("warn", "loginctl enable-linger"), fact


async def run_passes_the_status_on(host: Host) -> None:
    """`vm run --rm` on KVM: said in the spec line, seen in the guest, and its status (H1)."""
    script = "cat /sys/devices/system/clocksource/clocksource0/available_clocksource; exit 7"
    network = ("--network", "none")
    ended = await host.banger(
        "vm", "run", "--rm", "--no-template", *small(host), *network, "--", "sh", "-c", script
    )
    ended.expect(7)
    assert "| qemu/kvm" in ended.err, ended.err
    assert "kvm-clock" in ended.out.split(), ended.out
    assert await list_vms(host) == []


async def systemd_settles(host: Host) -> None:
    """The default image, with two CPUs: its systemd has started everything when it is handed out.

    It may take longer than a guest on a real processor: the emulation lets it stand still at times.
    """
    script = "nproc; systemd-detect-virt; systemctl is-system-running; systemctl --failed --quiet"
    sizes = ("--memory", "512M", "--disk", "1G", "--vcpu", "2", "--network", "none")
    create = ("vm", "create", "--name", "settled", "--no-template", "--boot-timeout", "4m")
    await banger(host, *create, *sizes)
    ended = await host.banger("vm", "exec", "settled", "--", "sh", "-c", script)
    assert ended.out.split() == ["2", "kvm", "running"], ended
    await banger(host, "vm", "delete", "settled")


async def clones_are_new_machines(host: Host) -> None:
    """A template is made on KVM and cloned twice; each clone is itself and knows the time."""
    script = "cat /etc/machine-id /etc/hostname; date +%s"
    run = ("vm", "run", "--rm", "--timings", *small(host), "--network", "none")
    before, seen = await _list_templates(host), []
    for _ in range(2):
        ended = await banger(host, *run, "--", "sh", "-c", script)
        assert "restore" in ended.err and "notice" not in ended.err, ended.err
        now = int((await host.root("date +%s")).expect().out)
        machine, name, clock = ended.out.split()
        # The clone ends, and the second question is asked, within this time on a slow machine.
        assert now - 60 <= int(clock) <= now, (clock, now)
        seen.append((machine, name))
    assert seen[0][0] != seen[1][0] and seen[0][1] != seen[1][1], seen
    templates = await _list_templates(host)
    assert len(templates) <= len(before) + 1, templates


async def forks_go_on_from_where_it_was(host: Host) -> None:
    """A VM on KVM is saved while it runs: its memory is in its forks and comes back (D2, D8)."""
    await banger(host, "vm", "create", "--name", "origin", *small(host), "--network", "none")
    await banger(host, "vm", "exec", "origin", "--", "sh", "-c", "echo kept >/dev/shm/word")
    await banger(host, "vm", "snapshot", "create", "origin", "before")
    await banger(host, "vm", "fork", "origin", "-n", "2")
    script = "cat /dev/shm/word /etc/hostname; echo of $(cat /etc/hostname) >/dev/shm/word"
    for name in ("origin-1", "origin-2", "origin"):
        ended = await banger(host, "vm", "exec", name, "--", "sh", "-c", script)
        assert ended.out.split() == ["kept", name], ended.out
    await banger(host, "vm", "pause", "origin")
    await banger(host, "vm", "snapshot", "restore", "origin", "before")
    ended = await banger(host, "vm", "exec", "origin", "--", "cat", "/dev/shm/word")
    assert ended.out.split() == ["kept"], ended.out
    await banger(host, "vm", "delete", "origin", "origin-1", "origin-2")


async def create_makes_a_confined_vm(host: Host) -> None:
    """QEMU runs with KVM and the host's CPU, and bubblewrap shows it the device (E5)."""
    await banger(
        host,
        "vm",
        "create",
        "--no-template",
        "--name",
        VM,
        *small(host),
        "--network",
        "user",
        "--allow",
        f"{ADDRESS}:{PORT}",
    )
    assert await state_of(host, VM) == "running"
    processes = (await host.root(f"ps -u {USER} -o args= -ww")).expect().out.splitlines()
    vmms = [line for line in processes if "-accel kvm -cpu host " in line]
    assert [line.split("/")[-1] for line in vmms if "bwrap" in line.split()[0]], processes
    assert any("--dev-bind /dev/kvm /dev/kvm" in line for line in vmms), vmms
    users = (await host.root("cat /sys/module/kvm_amd/refcnt")).expect().out
    assert int(users) > 0, "kvm-amd runs no guest"


async def exec_passes_everything_on(host: Host) -> None:
    """`vm exec`: the status, a signal, a program that is not there, and binary output (H1, H7)."""
    for command, status in (
        (("true",), 0),
        (("sh", "-c", "exit 42"), 42),
        (("sh", "-c", "kill -9 $$"), 137),
        (("no-such-program",), 127),
    ):
        (await host.banger("vm", "exec", VM, "--", *command)).expect(status)
    counted = f"banger vm exec {VM} -- head -c 3000000 /dev/zero | wc -c"
    assert (await host.shell(counted)).expect().out.strip() == "3000000"


async def guest_has_the_hosts_time(host: Host) -> None:
    """D1: the guest's clock, which KVM gives it, agrees with the host's and moves."""
    read = f"banger vm exec {VM} -- date +%s"
    before = int((await host.shell("date +%s")).expect().out)
    inside = int((await host.shell(read)).expect().out)
    after = int((await host.shell("date +%s")).expect().out)
    assert before - 2 <= inside <= after + 2, (before, inside, after)


async def user_network_reaches_the_host(host: Host) -> None:
    """`--network user`: to what is allowed, but not to the host's loopback (E4)."""
    server = f"cat >{HOME}/server.py <<'END'\n{SERVER}END\n"
    start = f"setsid python3 {HOME}/server.py >{HOME}/server.out 2>&1 </dev/null & echo $!"
    pid = int((await host.shell(server + start)).expect().out)
    try:
        wait = f"timeout 60 sh -c 'until grep -q listens {HOME}/server.out; do sleep 0.1; done'"
        (await host.shell(wait)).expect()
        read = "exec 3<>/dev/tcp/{}/{} && cat <&3"
        ended = await exec_in(host, "timeout", "60", "bash", "-c", read.format(ADDRESS, PORT))
        assert ended.expect().out.strip() == GREETING, ended
        refused = await exec_in(host, "timeout", "3", "bash", "-c", read.format("10.0.2.2", PORT))
        assert refused.status != 0, refused
    finally:
        await host.shell(f"kill {pid}")


async def workspace_goes_in_and_comes_back(host: Host) -> None:
    """A repository in, changes in the guest, and a patch that applies (A3, A4)."""
    (await host.shell(REPOSITORY)).expect()
    project, patch = f"{HOME}/project", f"{HOME}/patch"
    await banger(host, "vm", "workspace", "prepare", VM, project)
    (await exec_in(host, "./run")).expect(5)
    (await exec_in(host, "sh", "-c", CHANGE)).expect()
    await banger(host, "vm", "workspace", "export", VM, "-o", patch)
    apply = f"cd {project} && git apply {patch} && cat file"
    ended = (await host.shell(apply)).expect()
    assert ended.out == "one\ntwo\nchanged on the host\nchanged in the guest\n", ended
    size = await host.shell(f"stat -c %s {project}/binary")
    assert size.out.strip() == "3", size


async def daemon_death_leaves_the_vm(host: Host) -> None:
    """B11: a killed daemon's VM is adopted by the next one; KVM's guest has not noticed."""
    before = await boot_id(host)
    status = (await host.banger("daemon", "status", "--json")).expect()
    (await host.shell(f"kill -9 {json.loads(status.out)['pid']}")).expect()
    assert await boot_id(host) == before


async def stop_keeps_what_was_written(host: Host) -> None:
    """A1: `stop` and `start`: another boot, the same data."""
    before = await boot_id(host)
    (await exec_in(host, "sh", "-c", "echo kept >/root/kept; echo overlay >/etc/kept")).expect()
    await banger(host, "vm", "stop", VM)
    assert await state_of(host, VM) == "stopped"
    await banger(host, "vm", "start", VM)
    ended = await exec_in(host, "cat", "/root/kept", "/etc/kept")
    assert ended.expect().out == "kept\noverlay\n", ended
    assert await boot_id(host) != before


async def crash_ends_the_vm(host: Host) -> None:
    """H2, `reboot=t`: a panic resets by a triple fault; KVM reports it, QEMU ends, exec wakes."""
    ended = await exec_in(host, "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 7000")
    ended.expect(125)
    until = "until banger vm list --quiet --filter state=stopped | grep -q .; do sleep 0.2; done"
    (await host.shell(f"timeout 60 sh -c '{until}'")).expect()
    log = await banger(host, "vm", "logs", "--console", VM)
    assert "sysrq triggered crash" in log.out, log


async def vsock_carries_the_agent(host: Host) -> None:
    """A guest without the agent's port is reached by vhost-vsock, and by its host alone."""
    program = f"python3 {INSIDE}/vsock.py {host.guest_image} {INSIDE}/{LOOPBACK}.ko"
    (await host.shell(program)).expect()


async def is_deleted(host: Host) -> None:
    """A VM that has crashed is deleted as any other."""
    await banger(host, "vm", "delete", VM)


SCENARIOS: tuple[Scenario, ...] = (
    (doctor_proves_kvm, doctor_explains_a_closed_device),
    (run_passes_the_status_on,),
    (systemd_settles,),
    (clones_are_new_machines,),
    (forks_go_on_from_where_it_was,),
    (
        create_makes_a_confined_vm,
        vms_have_scopes_of_their_own,
        exec_passes_everything_on,
        guest_has_the_hosts_time,
        user_network_reaches_the_host,
        workspace_goes_in_and_comes_back,
        daemon_death_leaves_the_vm,
        ending_the_daemons_unit_leaves_its_vms,
        a_vm_that_takes_too_much_dies_alone,
        stop_keeps_what_was_written,
        crash_ends_the_vm,
        is_deleted,
        nothing_is_left,
    ),
    (vsock_carries_the_agent,),
    *firecracker_network.SCENARIOS,
    *bridge.SCENARIOS,
    *firecracker_checks.SCENARIOS,
)


async def _list_templates(host: Host) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = json.loads(
        (await banger(host, "template", "list", "--json")).out
    )
    return listed


def _find_check(report: dict[str, list[dict[str, str]]], name: str) -> tuple[str, ...]:
    found = [(c["state"], c["fact"], c["hint"]) for c in report["checks"] if c["name"] == name]
    assert len(found) == 1, report
    return found[0]
