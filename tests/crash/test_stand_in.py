"""kill -9 of the daemon at points of each verb, with VMs of Firecracker: its stand-in, so no KVM.

What a death leaves of a VM's process, sockets, links and saved files is each driver's own. What the
engine makes of it is tried at every point with QEMU, whose guests' data is looked at as well
(`test_matrix.py`); these guests are processes of this host, and have none.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.errors import BangerError
from tests.crash.verbs import (
    CREATED,
    ENDED,
    FORKS,
    GONE,
    PAUSED,
    RUNS,
    VERBS,
    Act,
    Verb,
    call,
    ensure_running,
)
from tests.support.agent import find_or_build_agent
from tests.support.deaths import SIDES
from tests.support.environs import make_environ, make_short_dir
from tests.support.firecracker.ending import wait_ended
from tests.support.firecracker.program import write_program
from tests.support.installations import Installation, share_artifacts
from tests.support.sampling import NUMBER, choose
from tests.support.vms import building
from tests.support.worlds import SHAPE, World

DEATHS = 1
"""Of each verb in a run."""


def ensure_made(world: World) -> None:
    world.delete_others()
    world.call("vm.create", **SHAPE, name="one", start=False)


def ends_in(*allowed: dict[str, str]) -> Act:
    """Return a check that the VMs are in these states, and that those that run answer."""

    def check(world: World) -> None:
        states = world.states()
        assert states in allowed, states
        for name, state in states.items():
            if state == "running":
                world.require_unharmed(name)

    return check


def like(name: str, *allowed: dict[str, str]) -> Verb:
    """Return a verb of the matrix with another check."""
    return VERBS[name]._replace(check=ends_in(*allowed))


STAND_IN_VERBS = {
    "create": like("create", GONE, CREATED),
    "start": Verb(ensure_made, call("vm.start", ref="one"), ends_in(CREATED, ENDED, RUNS)),
    "clone": Verb(World.delete_others, call("vm.create", **SHAPE, name="one"), ends_in(GONE, RUNS)),
    "run --rm": like("run --rm", GONE),
    "stop": Verb(ensure_running, call("vm.stop", ref="one"), ends_in(ENDED, RUNS)),
    "restart": Verb(ensure_running, call("vm.restart", ref="one"), ends_in(RUNS)),
    "kill": like("kill", ENDED, RUNS),
    "delete": like("delete", GONE, RUNS),
    "pause": like("pause", RUNS, PAUSED),
    "resume": like("resume", RUNS, PAUSED),
    "snapshot": like("snapshot", RUNS),
    "snapshot of a paused VM": like("snapshot of a paused VM", PAUSED),
    "restore": like("restore", RUNS, ENDED),
    "fork": like("fork", RUNS, *({**RUNS, **forks} for forks in FORKS)),
    "template build": like("template build", GONE),
}


class StandInWorld(World):
    """A daemon that takes the stand-in for Firecracker on a host with KVM."""

    def _start_daemon(self) -> None:
        self.client.close()
        special = self.banger.special_daemon("--kvm", "--deaths", str(self.control))
        self.daemon = self._stack.enter_context(special)

    def exec(self, ref: str, script: str) -> str:
        """Run a shell line in a guest; those that write somewhere would write on this host."""
        return super().exec(ref, script if "/" not in script else "true")

    def make_witness(self, name: str) -> None:
        """Make a VM; it has no data."""
        self.call("vm.create", **SHAPE, name=name)

    def require_unharmed(self, name: str) -> None:
        """Check that a guest answers."""
        assert self.exec(name, "echo here") == "here\n"


@pytest.fixture(scope="module")
def world(artifacts: None, run_dir: Path) -> Iterator[World]:
    directory = make_short_dir(run_dir)
    program = write_program(
        directory, agent=find_or_build_agent(directory / "agent"), version="1.12.1"
    )
    with contextlib.closing(Installation(share_artifacts(make_environ(directory)))) as banger:
        os.makedirs(banger.layout.state, mode=0o700, exist_ok=True)
        banger.layout.config_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = f'driver = "firecracker"\n[firecracker]\nbinary = "{program}"\n'
        banger.layout.config_file.write_text(settings)
        world = StandInWorld(banger)
        world.open_daemon()
        try:
            with building(banger):
                world.call("template.build", **SHAPE)
            yield world
        finally:
            world.close()
    wait_ended(directory)


def test_a_vm_of_firecracker_lives(world: World) -> None:
    """Every verb of a VM's life, by the real daemon."""
    created = world.call("vm.create", **SHAPE, name="one")
    assert (created["driver"], created["state"]) == ("firecracker", "running"), created
    assert world.exec("one", "echo said") == "said\n"
    world.call("vm.pause", ref="one")
    assert world.states() == {"one": "paused"}
    world.call("vm.resume", ref="one")
    world.call("snapshot.create", ref="one", name="first")
    world.call("vm.fork", ref="one", name="copy", number=2)
    assert len(world.states()) == 3
    world.call("snapshot.restore", ref="one", name="first")
    assert world.exec("one", "echo again") == "again\n"
    world.stop_daemon()
    world.open_daemon()
    assert world.exec("one", "echo adopted") == "adopted\n"
    world.call("vm.stop", ref="one")
    world.call("vm.start", ref="one")
    world.settle()
    world.delete_others()
    world.settle()


@pytest.mark.parametrize("name", STAND_IN_VERBS)
def test_death_at_a_point(world: World, name: str) -> None:
    """A9, B3, B4, B5, B6, B11, D9: whatever was begun is done, or never was."""
    verb = STAND_IN_VERBS[name]

    def act() -> object:
        return verb.act(world)

    verb.prepare(world)
    points = dict.fromkeys(world.recorded(act))
    deaths = [(side, point) for point in points for side in SIDES]
    wrong = []
    for side, point in choose(deaths, DEATHS, NUMBER + 7 * list(STAND_IN_VERBS).index(name)):
        try:
            verb.prepare(world)
            assert world.die(side, point, act), "the daemon did not get there"
            world.open_daemon()
            world.settle()
            verb.check(world)
        except (AssertionError, BangerError) as error:
            wrong.append(f"{side} {point}: {error!r}"[:900])
        if world.daemon.poll() is not None:
            world.open_daemon()
    world.delete_others()
    assert not wrong, f"sample {NUMBER}:\n" + "\n".join(wrong)
