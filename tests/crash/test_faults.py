"""The k-th call to the host fails, for every k until the verb succeeds (hazards A10, B3, B5, B6).

A real daemon whose file, process and database calls are counted while one request runs; the k-th
one fails with ENOSPC, EIO, EMFILE, ENOMEM or EPERM. The request succeeds or answers with an error
that has a code and a sentence, and is not called a bug; the daemon lives; records and
machine agree; and the VM can be deleted.

The k are a sample that rotates (tests/support/sampling.py);
BANGER_TEST_FAULTS=all takes every k.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from banger.client import Client
from banger.errors import BangerError
from tests.support.installations import Installation, wait_for
from tests.support.sampling import NUMBER, choose
from tests.support.soundness import require_sound
from tests.support.vms import LONG_S, TIMEOUT_S, TINY_IMAGE, building

ERRNOS = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.ENOMEM, errno.EPERM)
REFUSAL = re.compile(r"(?!internal-error|daemon-unreachable)[a-z-]+ \([1-9]\): .*\.", re.DOTALL)
"""A code, an exit code and a sentence; and not one that says that banger has a bug, or died."""
SAMPLE, SAMPLE_OF_ONLY = 4, 2
ALL = os.environ.get("BANGER_TEST_FAULTS") == "all"
pytestmark = pytest.mark.timeout(LONG_S if ALL else TIMEOUT_S)
SHAPE = {
    "image": TINY_IMAGE,
    "memory_mib": 256,
    "disk_mib": 1024,
    "vcpu": 1,
    "network": "none",
}


class Faulty:
    """One installation with a daemon whose calls can be made to fail."""

    def __init__(self, banger: Installation, pid: int) -> None:
        self.banger = banger
        self.control = banger.layout.state
        self.pid = pid
        self.client = Client(banger.layout, autostart=False)

    def call(self, method: str, **params: Any) -> Any:
        return self.client.call(method, params)

    def attempt(
        self, number: int, k: int, verb: Callable[[], object], *, only: str = ""
    ) -> tuple[str, dict[str, Any]]:
        """Run a verb whose k-th call fails; return how it ended, and what was counted."""
        asked = {"errno": number, "k": k, "only": only}
        (self.control / "arm.new").write_text(json.dumps(asked))
        os.replace(self.control / "arm.new", self.control / "arm")
        try:
            verb()
            outcome = "ok"
        except BangerError as error:
            outcome = f"{error.code} ({error.exit_code}): {error.message}"
        return outcome, json.loads((self.control / "calls").read_bytes())

    def ensure_template(self, shape: dict[str, Any]) -> None:
        """Have the run's template: one that was in the way of a fault is gone."""
        with building(self.banger):
            self.call("template.build", **shape)

    def vms(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("vm.list")
        return found

    def wait_saved(self) -> None:
        """Wait for an outcome that could not be saved: that is tried again (A10)."""
        database = f"file:{self.banger.layout.database}?mode=ro"
        with contextlib.closing(sqlite3.connect(database, uri=True)) as rows:
            left = "SELECT 1 FROM operations"
            wait_for(lambda: not rows.execute(left).fetchall(), "the outcome", deadline_s=30)

    def delete_all(self) -> None:
        for vm in self.vms():
            self.call("vm.delete", ref=vm["id"])


@pytest.fixture(scope="module")
def faulty(own_of_module: Installation) -> Iterator[Faulty]:
    """A daemon with faults, and a template to clone."""
    banger = own_of_module
    with banger.special_daemon("--faults", str(banger.layout.state)) as daemon:
        faulty = Faulty(banger, daemon.pid)
        faulty.ensure_template(SHAPE)
        yield faulty
        faulty.client.close()
        assert daemon.poll() is None, "the daemon died"


def each_k(calls: int, verb: str, only: str) -> list[tuple[int, int]]:
    """Return the pairs of k and errno to try; of the calls that `only` names, EIO."""
    if only:
        named = [(k, errno.EIO) for k in range(1, calls + 1)]
        return named if ALL else choose(named, SAMPLE_OF_ONLY)
    pairs = [(k, number) for k in range(1, calls + 1) for number in ERRNOS]
    return pairs if ALL else sorted(random.Random(f"{NUMBER} {verb}").sample(pairs, SAMPLE))


def survive(
    faulty: Faulty,
    verb: str,
    act: Callable[[], object],
    *,
    prepare: Callable[[], object] = lambda: None,
    check: Callable[[str], object] = lambda _: None,
    leaves_nothing: bool = True,
    only: str = "",
) -> None:
    """Let a verb meet every fault; collect what went wrong, so that one run shows all of it.

    `leaves_nothing`: also when it fails; else what it leaves goes with the VM. `only`: the
    calls with this text in their description.
    """
    prepare()
    _, counted = faulty.attempt(0, -1, act, only=only)
    faulty.delete_all()
    wrong, refused = [], 0
    calls: int = counted["calls"]
    assert calls
    faults = each_k(calls, verb, only)
    for k, number in faults:
        prepare()
        outcome, hit = faulty.attempt(number, k, act, only=only)
        refused += outcome != "ok"
        case = f"{verb} k={k} {errno.errorcode[number]} at {hit['hit']}: {outcome}"
        try:
            assert outcome == "ok" or REFUSAL.fullmatch(outcome)
            check(outcome)
            faulty.wait_saved()
            if outcome == "ok" or leaves_nothing:
                require_sound(faulty.client, faulty.banger.layout)
            faulty.delete_all()
            require_sound(faulty.client, faulty.banger.layout)
            assert faulty.vms() == []
        except (AssertionError, BangerError) as error:
            wrong.append(f"{case}\n    {error!r}"[:700])
            faulty.delete_all()
    print(f"{verb}: {len(faults)} faults, {refused} refused")
    assert not wrong, f"{len(wrong)} of {verb}'s faults in sample {NUMBER}:\n" + "\n".join(wrong)


def test_faults_of_create(faulty: Faulty) -> None:
    """A9, A10, B3: there is no VM, or a whole one."""

    def check(outcome: str) -> None:
        states = [vm["state"] for vm in faulty.vms()]
        assert states == (["created"] if outcome == "ok" else []), states

    survive(
        faulty,
        "create",
        lambda: faulty.call("vm.create", **SHAPE, name="one", start=False),
        check=check,
    )


def test_faults_of_clone(faulty: Faulty) -> None:
    """A9, A10, B3, D3: there is no VM, or one that runs, or one that is kept as evidence."""

    def check(outcome: str) -> None:
        states = [vm["state"] for vm in faulty.vms()]
        assert states in ([["running"]] if outcome == "ok" else [[], ["error"]]), states

    survive(
        faulty,
        "clone",
        lambda: faulty.call("vm.create", **SHAPE, name="one"),
        prepare=lambda: faulty.ensure_template(SHAPE),
        check=check,
    )


@pytest.mark.parametrize("only", ["open /proc/", "INTO handles"])
def test_what_a_clone_starts_is_ended_if_it_cannot_be_recorded(faulty: Faulty, only: str) -> None:
    """B3, B4: a process that cannot be identified, or whose handle cannot be saved."""
    shape = {**SHAPE, "network": "user"}
    survive(
        faulty,
        f"clone, {only}",
        lambda: faulty.call("vm.create", **shape, name="one"),
        prepare=lambda: faulty.ensure_template(shape),
        only=only,
    )


@pytest.mark.parametrize("verb", ["stop", "delete"])
def test_faults_of_an_end(faulty: Faulty, verb: str) -> None:
    """A10, B3: whatever fails on the way, nothing of the VM runs on when it is called ended."""

    def check(outcome: str) -> None:
        for vm in faulty.vms():
            faulty.call("vm.show", ref=vm["id"])
            if vm["state"] != "running":
                assert not faulty.banger.vm_processes(vm["id"]), vm

    survive(
        faulty,
        verb,
        lambda: faulty.call(f"vm.{verb}", ref="one"),
        prepare=lambda: faulty.call("vm.create", **SHAPE, name="one"),
        check=check,
        leaves_nothing=False,
    )
