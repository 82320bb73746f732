"""What a guest frees is the host's again: real QEMU, real guests, through the real command line.

D4, D7, D8, H2, H9. One VM that booted, and two clones of one template: one fills its memory and
empties it again while the other has something to lose. `vm stats` is what says how much they have.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installations import Installation, share_artifacts, wait_for
from tests.support.vms import TINY_IMAGE, own_kernels

MIB = 2**20
SHAPE = ("--image", TINY_IMAGE, "--memory", "704M", "--disk", "1G", "--vcpu", "1")
SUMS = "sha256sum /dev/shm/kept /srv/kept"
KNOWN = "Discarding RAM in private file mappings"
"""QEMU from 8.1 on warns so, once; the digest of the file shows that ours is not modified."""


@pytest.fixture(scope="module")
def banger(artifacts: None, run_dir: Path) -> Iterator[Installation]:
    """An installation with the VMs `booted`, `clone` and `other`, which is a clone, too."""
    environ = dict(os.environ)
    for name in ("STATE_HOME", "RUNTIME_DIR"):
        folder = run_dir / "free" / name
        folder.mkdir(mode=0o700, parents=True)
        environ[f"XDG_{name}"] = str(folder)
    environ = share_artifacts(environ) | {"BANGER_TEMPLATE_ENABLED": "on"}
    environ["BANGER_STATS_INTERVAL_S"] = "1"
    with contextlib.closing(Installation(environ)) as installation:
        # The VMs of other workers map the run's kernel: what is private would change with them.
        own_kernels(installation, copy=shutil.copy2)
        installation.do("vm", "create", "--name", "booted", "--no-template", *SHAPE)
        assert installation.vm("booted")["template"] is None
        for name in ("clone", "other"):
            installation.do("vm", "create", "--name", name, *SHAPE)
        yield installation


def shell(banger: Installation, vm: str, script: str) -> str:
    return banger.exec(vm, "sh", "-c", script, status=0).text


def private_bytes(banger: Installation, vm: str) -> int:
    (use,) = banger.json("vm", "stats", vm)["vms"]
    return int(use["private_bytes"])


def fill_and_free(banger: Installation, vm: str, *, mib: int) -> None:
    """Let the VM take so much and give it up; return when the host has most of it again.

    The emulator's translated code grows meanwhile, and blocks that are not free as a whole stay.
    """
    before = private_bytes(banger, vm)
    shell(banger, vm, f"fallocate -l {mib}M /dev/shm/big")
    full = private_bytes(banger, vm)
    assert full > before + mib * MIB * 9 // 10
    shell(banger, vm, "rm /dev/shm/big")
    wait_for(
        lambda: private_bytes(banger, vm) < full - mib * MIB * 2 // 3,
        f"the memory that {vm} has freed to be the host's",
    )


@pytest.mark.parametrize("vm", ["booted", "clone"])
def test_what_a_guest_frees_is_the_hosts_again(banger: Installation, vm: str) -> None:
    """D8: and nobody else's memory changes, nor the file that it began as."""
    (template,) = banger.layout.templates.iterdir()
    memory = template / "memory"
    facts, content = memory.stat(), digest(memory)
    assert facts.st_mode & 0o777 == 0o400
    shell(banger, "other", "head -c 8M /dev/urandom | tee /srv/kept >/dev/shm/kept; sync")
    wanted = shell(banger, "other", SUMS)
    taken = private_bytes(banger, "other")
    fill_and_free(banger, vm, mib=300)
    assert (memory.stat().st_mtime_ns, memory.stat().st_blocks) == (
        facts.st_mtime_ns,
        facts.st_blocks,
    )
    assert digest(memory) == content
    assert shell(banger, "other", SUMS) == wanted
    assert private_bytes(banger, "other") < taken + 16 * MIB
    log = banger.layout.vm_vmm_log(banger.vm(vm)["id"]).read_text()
    complaints = [line for line in log.splitlines() if KNOWN not in line]
    assert complaints == [], "every page was given back without a complaint"


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_what_was_given_back_is_saved_and_goes_on(banger: Installation) -> None:
    """D4, D7: pause, snapshot, fork, restore: of a VM that booted, its fork, and a fork of that."""
    vm = "booted"
    shell(banger, vm, "head -c 8M /dev/urandom | tee /srv/kept >/dev/shm/kept; sync")
    wanted = shell(banger, vm, SUMS)
    fill_and_free(banger, vm, mib=100)
    banger.do("vm", "pause", vm)
    banger.do("vm", "snapshot", "create", vm, "freed")
    banger.do("vm", "fork", vm, "--name", "fork")
    banger.do("vm", "resume", vm)
    fill_and_free(banger, "fork-1", mib=100)
    banger.do("vm", "fork", "fork-1", "--name", "second")
    shell(banger, vm, "rm /dev/shm/kept /srv/kept; sync")
    banger.do("vm", "snapshot", "restore", vm, "freed")
    for name in ("fork-1", "second-1", vm):
        assert shell(banger, name, SUMS) == wanted
    # Pages that were given back are written again, in a machine that was saved without them.
    fill_and_free(banger, "second-1", mib=100)
    for name in ("fork-1", "second-1", vm):
        assert shell(banger, name, SUMS) == wanted
        assert "blocked for more than" not in shell(banger, name, "dmesg")
    banger.do("vm", "delete", "fork-1", "second-1")


def test_a_vm_that_cannot_answer_has_a_row(banger: Installation) -> None:
    """H2, H9: one that hangs, one that is paused, one that is stopped; nobody waits for them."""
    for name in ("hangs", "pauses", "stops"):
        banger.do("vm", "create", "--name", name, *SHAPE)
    banger.do("vm", "pause", "pauses")
    banger.do("vm", "stop", "stops")
    pid = banger.vm("hangs")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        ended = banger.do("vm", "stats", "other", "hangs", "pauses", "stops")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert "hangs: Its agent does not answer." in ended.err
    rows = [line.split() for line in ended.text.splitlines()[1:]]
    assert [row[0] for row in rows] == ["other", "hangs", "pauses", "stops", "TOTAL"]
    assert rows[0][-1] == "ms" and [row[-1] for row in rows[1:4]] == ["silent", "-", "-"]
    stats = banger.json("vm", "stats")
    other, hangs, pauses = (
        next(use for use in stats["vms"] if use["name"] == name)
        for name in ("other", "hangs", "pauses")
    )
    assert "stops" not in [use["name"] for use in stats["vms"]]
    assert other["agent_ms"] > 0 and hangs["agent_ms"] > 0
    assert pauses["agent_ms"] is None and pauses["state"] == "paused"
    assert pauses["cpu_percent"] < 5.0 and pauses["private_bytes"] > 0
    clones = [use for use in stats["vms"] if use["name"] in ("other", "hangs", "pauses")]
    shared = sum(use["shared_bytes"] for use in clones)
    assert stats["total"]["shared_bytes"] < shared * 3 // 4, "their template counts once"
    assert stats["total"]["memory_bytes"] < sum(use["resident_bytes"] for use in stats["vms"])
    (row,) = banger.json("vm", "stats", "stops")["vms"]
    assert (row["state"], row["resident_bytes"], row["agent_ms"]) == ("stopped", None, None)
    assert row["disk_allocated_bytes"] > 0


def test_the_history_says_what_the_vm_has_used(banger: Installation) -> None:
    """As its samples say, which look at less than `vm stats` does."""
    private = private_bytes(banger, "other")
    shell(banger, "other", "fallocate -l 100M /dev/shm/big")

    def newest() -> int:
        return int(banger.json("vm", "stats", "--history", "other")[-1]["private_bytes"])

    wait_for(lambda: newest() > private + 90 * MIB, "a sample with what was taken")
    assert newest() < private + 150 * MIB
    samples = banger.json("vm", "stats", "--history", "other")
    assert sum(each["cpu_percent"] for each in samples) > 0
    assert samples[-1]["resident_bytes"] > samples[-1]["private_bytes"]
    assert samples[-1]["disk_allocated_bytes"] > 0
    shell(banger, "other", "rm /dev/shm/big")
