"""`vm set`, `vm restart`, `vm console` and `vm ports` with real guests."""

from __future__ import annotations

import contextlib

from tests.component.cli.terminal import Terminal
from tests.support.disks import read_disk
from tests.support.installations import Installation
from tests.support.vms import TINY

LOOK = "nproc; awk '/MemTotal/ {print $2}' /proc/meminfo; df -m / | tail -1; hostname; cat /srv/f"


def look(own: Installation, name: str) -> tuple[int, int, int, str, str]:
    """Return what a guest sees: processors, memory and disk (MiB), its name, and our file."""
    cpus, memory, disk, *rest = own.exec(name, "sh", "-c", LOOK, status=0).text.splitlines()
    return int(cpus), int(memory) // 1024, int(disk.split()[1]), rest[0], rest[1]


def test_a_machine_that_changes_over_its_life(own: Installation) -> None:
    """A1, D5: restarted it has its new shape and all that was written; put back, the old one."""
    own.do("vm", "create", "--name", "one", *TINY)
    own.exec("one", "sh", "-c", "echo kept >/srv/f", status=0)
    own.do("vm", "snapshot", "create", "one", "before")
    before = look(own, "one")
    said = own.do(
        *("vm", "set", "one", "--vcpu", "2", "--memory", "320M", "--disk", "3G"),
        *("--network", "none", "--name", "uno", "--label", "a=b"),
    ).err
    assert "the host name in the guest, vcpu, memory, disk, network" in said
    assert look(own, "uno") == before, "something changed under a running guest"
    view = own.vm("uno")
    assert (view["vcpu"], view["pending"]["vcpu"], view["labels"]) == (1, 2, {"a": "b"})
    # A snapshot and a fork of it fit the machine as it still is.
    own.do("vm", "snapshot", "create", "uno", "between")
    fork = own.do("vm", "fork", "uno").text
    assert look(own, fork)[:3] == before[:3] and own.vm(fork)["pending"] is None
    own.do("vm", "delete", fork)

    own.exec("uno", "sh", "-c", "echo late >/srv/f", status=0)
    boot = own.boot_id("uno")
    own.do("vm", "restart", "uno")
    assert own.boot_id("uno") != boot
    cpus, memory, disk, hostname, file = look(own, "uno")
    assert (cpus, hostname, file) == (2, "uno", "late")
    assert memory > before[1] + 40 and disk > before[2] * 2.5
    assert own.vm("uno")["guest_address"] is None and own.vm("uno")["pending"] is None
    # Sparse still: what has grown is a hole.
    assert own.layout.vm_data_disk(view["id"]).stat().st_blocks * 512 < 200 * 2**20

    for name in ("between", "before"):
        own.do("vm", "snapshot", "restore", "uno", name)
        assert look(own, "uno")[:3] == before[:3]
    own.do("vm", "stop", "uno")
    view = own.vm("uno")
    shape = [view[key] for key in ("vcpu", "memory_mib", "disk_mib", "pending")]
    assert shape == [1, 256, 1024, None]
    assert own.layout.vm_data_disk(view["id"]).stat().st_size == 2**30
    assert read_disk(own, "uno", "/srv/f") == "kept\n"


def test_a_change_that_cannot_be_leaves_everything_as_it_was(own: Installation) -> None:
    """C6, C7: too small, out of range, a name that is taken: one wrong value refuses them all."""
    for name in ("one", "two"):
        own.do("vm", "create", "--name", name, *TINY, "--no-start")
    before = own.vm("one")
    for words, status, why in (
        (("--disk", "512M"), 2, "can only grow"),
        (("--memory", "1M"), 2, "out of range"),
        (("--vcpu", "65"), 2, "out of range"),
        (("--name", "two"), 5, "already exists"),
        (("--name", "Two"), 2, "not a valid name"),
    ):
        ended = own.run("vm", "set", "one", "--label", "a=b", "--network", "none", *words)
        assert ended.status == status and why in ended.err
        assert own.vm("one") == before
    own.do("vm", "set", "one", "--vcpu", "2", "--disk", "2G")
    assert (own.vm("one")["vcpu"], own.vm("one")["pending"]) == (2, None)


def test_a_restart_that_cannot_boot_ends_nothing(own: Installation) -> None:
    """H8: what the boot would lack is found while the VM still runs."""
    own.do("vm", "create", "--name", "one", *TINY)
    boot = own.boot_id("one")
    own.stop_daemon()
    ended = own.run("vm", "restart", "one", env={"BANGER_QEMU_BINARY": "no-such-qemu"}, status=6)
    assert "no-such-qemu" in ended.err
    own.stop_daemon()
    assert own.boot_id("one") == boot


def test_a_console_is_a_shell(banger: Installation, system: str) -> None:
    """D2: also in a clone, whose shell begins with its own name. One at a time; all is logged."""
    with contextlib.closing(Terminal(banger.environ, "vm", "console", system)) as terminal:
        terminal.expect(b"ctrl-] detaches.")
        terminal.send(b"\r")
        terminal.expect(b"root@system:~# ")
        terminal.send(b"echo $((6 * 7)) on $(tty)\r")
        terminal.expect(b"42 on /dev/ttyS0")
        with contextlib.closing(Terminal(banger.environ, "vm", "console", system)) as second:
            second.expect(b"Another client is attached to the console of system.")
            assert second.process.wait(60) == 5
        terminal.send(b"exit\r")
        terminal.expect(b"logout")
        terminal.send(b"\x1d")
        terminal.expect(b"Detached from the console.")
        assert terminal.process.wait(60) == 0
    assert b"42 on /dev/ttyS0" in banger.do("vm", "logs", system).out
    ended = banger.run("vm", "console", system, status=2)
    assert "needs a terminal" in ended.err
