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
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installations import Installation, share_artifacts, wait_for
from tests.support.templates import read_memory
from tests.support.vms import TINY, own_kernels, take_tiny_template

MIB = 2**20
FILE_MIB = 50
"""Of two files that fill a guest's memory: a tmpfs takes half of it."""
FILES = ("/dev/shm/big", "/run/big")
SUMS = "md5sum /dev/shm/kept /srv/kept"
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
        # The VMs of other workers map the run's kernel and template: what is private would change
        # with them.
        own_kernels(installation, copy=shutil.copy2)
        take_tiny_template(installation)
        (template,) = installation.layout.templates.iterdir()
        shared = template.rename(installation.layout.data / "shared")
        subprocess.run(["cp", "--archive", "--sparse=always", shared, template], check=True)
        subprocess.run(["sync", template / "memory"], check=True)  # its holes are settled then
        shutil.rmtree(shared)
        installation.do("vm", "create", "--name", "booted", "--no-template", *TINY)
        assert installation.vm("booted")["template"] is None
        for name in ("clone", "other"):
            installation.do("vm", "create", "--name", name, *TINY)
            assert installation.vm(name)["template"] == template.name
        yield installation


def shell(banger: Installation, vm: str, script: str) -> str:
    return banger.exec(vm, "sh", "-c", script, status=0).text


def private_bytes(banger: Installation, vm: str) -> int:
    (use,) = banger.json("vm", "stats", vm)["vms"]
    return int(use["private_bytes"])


def fill_and_free(banger: Installation, vm: str) -> None:
    """Let the VM take memory and give it up; return when the host has most of it again.

    The emulator's translated code grows meanwhile, and blocks that are not free as a whole stay.
    """
    before, taken = private_bytes(banger, vm), len(FILES) * FILE_MIB * MIB
    shell(banger, vm, "; ".join(f"fallocate -l {FILE_MIB}M {file}" for file in FILES))
    full = private_bytes(banger, vm)
    assert full > before + taken * 2 // 3, "little of it was there to be used again"
    shell(banger, vm, f"rm {' '.join(FILES)}")
    wait_for(
        lambda: private_bytes(banger, vm) < full - taken * 2 // 3,
        f"the memory that {vm} has freed to be the host's",
    )


@pytest.mark.parametrize("vm", ["booted", "clone"])
def test_what_a_guest_frees_is_the_hosts_again(banger: Installation, vm: str) -> None:
    """D8: and nobody else's memory changes, nor the file that it began as."""
    (template,) = banger.layout.templates.iterdir()
    memory = template / "memory"
    facts, content = memory.stat(), digest(banger, template.name)
    assert facts.st_mode & 0o777 == 0o400
    shell(banger, "other", "head -c 4M /dev/urandom | tee /srv/kept >/dev/shm/kept; sync")
    wanted = shell(banger, "other", SUMS)
    taken = private_bytes(banger, "other")
    fill_and_free(banger, vm)
    assert memory.stat().st_mtime_ns == facts.st_mtime_ns
    assert digest(banger, template.name) == content
    assert shell(banger, "other", SUMS) == wanted
    assert private_bytes(banger, "other") < taken + 16 * MIB
    log = banger.layout.vm_vmm_log(banger.vm(vm)["id"]).read_text()
    complaints = [line for line in log.splitlines() if KNOWN not in line]
    assert complaints == [], "every page was given back without a complaint"


def digest(banger: Installation, key: str) -> str:
    """Return a digest of a template's memory and of where its holes are."""
    digest = hashlib.sha256()
    for place, data in read_memory(banger.layout, key):
        digest.update(b"%d %d " % (place, len(data)) + data)
    return digest.hexdigest()


def test_what_was_given_back_is_saved_and_goes_on(banger: Installation) -> None:
    """D4, D7: pause, snapshot, fork, restore: of a VM that booted, its fork, and a fork of that."""
    vm = "booted"
    shell(banger, vm, "head -c 4M /dev/urandom | tee /srv/kept >/dev/shm/kept; sync")
    wanted = shell(banger, vm, SUMS)
    fill_and_free(banger, vm)
    banger.do("vm", "pause", vm)
    banger.do("vm", "snapshot", "create", vm, "freed")
    banger.do("vm", "fork", vm, "--name", "fork")
    banger.do("vm", "resume", vm)
    fill_and_free(banger, "fork-1")
    banger.do("vm", "fork", "fork-1", "--name", "second")
    shell(banger, vm, "rm /dev/shm/kept /srv/kept; sync")
    banger.do("vm", "snapshot", "restore", vm, "freed")
    for name in ("fork-1", "second-1", vm):
        assert shell(banger, name, SUMS) == wanted
    # Pages that were given back are written again, in a machine that was saved without them.
    fill_and_free(banger, "second-1")
    for name in ("fork-1", "second-1", vm):
        assert shell(banger, name, SUMS) == wanted
        assert "blocked for more than" not in shell(banger, name, "dmesg")
    banger.do("vm", "delete", "fork-1", "second-1")


def test_a_vm_that_cannot_answer_has_a_row(banger: Installation) -> None:
    """H2, H9: one that hangs, one that is paused, one that is stopped; nobody waits for them."""
    for name in ("hangs", "pauses", "stops"):
        banger.do("vm", "create", "--name", name, *TINY)
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
    shell(banger, "other", f"fallocate -l {FILE_MIB}M /dev/shm/big")

    def newest() -> int:
        return int(banger.json("vm", "stats", "--history", "other")[-1]["private_bytes"])

    wait_for(lambda: newest() > private + FILE_MIB * MIB * 2 // 3, "a sample with it")
    assert newest() < private + FILE_MIB * MIB * 2
    samples = banger.json("vm", "stats", "--history", "other")
    assert sum(each["cpu_percent"] for each in samples) > 0
    assert samples[-1]["resident_bytes"] > samples[-1]["private_bytes"]
    assert samples[-1]["disk_allocated_bytes"] > 0
    shell(banger, "other", "rm /dev/shm/big")
