"""The same with a second QEMU, the one of the distribution's backports: D1, D5, D8.

All other tests of this folder run with the host's own. BANGER_TEST_QEMU names another program.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from banger.vmm.qemu.argv import FAST_RANDOMIZED
from banger.vmm.qemu.probe import QemuFacts, probe_qemu
from banger.vmm.qemu.tools import PROGRAM
from banger.vmm.qemu.upgrade import find_suite
from tests.support.artifacts import CACHE
from tests.support.installations import Installation
from tests.support.newer_qemu import VARIABLE, ensure_newer_qemu
from tests.support.vms import TINY, alone

BINARY = "BANGER_QEMU_BINARY"


@pytest.fixture(scope="module")
def qemu() -> QemuFacts:
    """The second QEMU, which is not the host's own."""
    path = os.environ.get(VARIABLE) or _fetch()
    facts, own = asyncio.run(probe_qemu(path)), asyncio.run(probe_qemu())
    assert facts.version != own.version
    assert (facts.jail is None) == (own.jail is None)
    return facts


def _fetch() -> str:
    suite = find_suite()
    if suite is None:
        pytest.skip("this distribution's backports have no newer QEMU")
    with alone():
        return str(asyncio.run(ensure_newer_qemu(Path(os.environ[CACHE]), suite)))


@pytest.fixture(scope="module")
def banger(qemu: QemuFacts, own_of_module: Installation) -> Installation:
    """An installation that the second QEMU runs the VMs of."""
    own_of_module.environ[BINARY] = qemu.binary
    return own_of_module


@pytest.fixture(scope="module")
def vm(banger: Installation) -> str:
    """A clone of a template, which the second QEMU has made."""
    banger.do("vm", "create", "--name", "second", *TINY)
    return "second"


def _shell(banger: Installation, vm: str, script: str) -> str:
    return banger.exec(vm, "sh", "-c", script, status=0).text


def test_addresses_are_random(banger: Installation, qemu: QemuFacts, vm: str) -> None:
    """Unless that QEMU is slow with them."""
    told = _shell(banger, vm, "cat /proc/sys/kernel/randomize_va_space")
    assert told == ("2" if qemu.version >= FAST_RANDOMIZED else "0")


def test_a_clone_is_this_qemus(banger: Installation, qemu: QemuFacts, vm: str) -> None:
    """D5: a template that the host's own QEMU has made is not used."""
    assert os.path.samefile(f"/proc/{banger.vm(vm)['pid']}/exe", qemu.binary)
    assert banger.vm(vm)["template"]
    banger.do("vm", "create", "--name", "first", *TINY, env={BINARY: PROGRAM})
    try:
        assert banger.vm("first")["template"] not in (None, banger.vm(vm)["template"])
    finally:
        banger.do("vm", "delete", "first")


def test_commands_run_and_what_they_say_comes_back(banger: Installation, vm: str) -> None:
    ended = banger.exec(vm, "sh", "-c", "cat; echo said >&2; exit 7", stdin=b"told\n", status=7)
    assert (ended.out, ended.err) == (b"told\n", "said\n")


def test_a_fork_goes_on_where_its_source_is(banger: Installation, vm: str) -> None:
    """D8: and what one of them writes the other does not see."""
    _shell(banger, vm, "echo both >/dev/shm/both; echo both >/srv/both")
    (fork,) = banger.do("vm", "fork", vm).text.split()
    _shell(banger, fork, "echo fork >/srv/fork")
    assert _shell(banger, fork, "cat /dev/shm/both /srv/both /srv/fork") == "both\nboth\nfork"
    assert _shell(banger, vm, "ls /srv") == "both"
    banger.do("vm", "delete", fork)


def test_a_snapshot_is_restored(banger: Installation, vm: str) -> None:
    """D1: memory and disk are as they were, the clock is right."""
    _shell(banger, vm, "echo then >/dev/shm/when; echo then >/srv/when")
    banger.do("vm", "snapshot", "create", vm, "one")
    _shell(banger, vm, "echo now >/dev/shm/when; echo now >/srv/when")
    banger.do("vm", "snapshot", "restore", vm, "one")
    assert _shell(banger, vm, "cat /dev/shm/when /srv/when") == "then\nthen"
