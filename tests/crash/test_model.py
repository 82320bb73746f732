"""Random verbs from several clients against a model of the state machine, with a nemesis.

The nemesis kills the daemon (between requests and in the middle of one), kills VMMs, closes a
client in the middle of its request, and lets two clients ask for different things at once. After
each step records and machine agree, and the VMs are in a state that the model allows.

Which of the allowed states it is depends on time, so no rule has a precondition: what Hypothesis
draws must not depend on anything but what it drew before.

In CI EXAMPLES runs of STEPS steps, always the same; BANGER_TEST_MODEL=RUNSxSTEPS makes that many
others.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from banger.client import Client
from banger.client.conversation import RECEIVE
from banger.errors import (
    BangerError,
    DaemonUnreachable,
    InternalError,
    NameTaken,
    VmNotFound,
    WrongState,
)
from banger.host.identity import identify
from tests.support.installations import wait_for
from tests.support.vms import LONG_S, TIMEOUT_S
from tests.support.worlds import SHAPE, World

EXAMPLES, STEPS = 2, 12
ASKED = os.environ.get("BANGER_TEST_MODEL")
NAMES = ("one", "two")
VERBS = ("start", "stop", "kill", "pause", "resume", "delete")
IDLE, LIVE = ("created", "stopped", "error"), ("running", "paused")
ABSENT = ""
AFTER = {
    "start": {"running"},
    "stop": {"stopped"},
    "kill": {"stopped"},
    "pause": {"paused"},
    "resume": {"running"},
    "delete": {ABSENT},
    "create": {"created", "running"},
}
DELAYS = st.sampled_from([0.0, 0.01, 0.03, 0.1, 0.3, 1.0])
ONE_VM = st.integers(0, len(NAMES) - 1)
ONE_VERB = st.sampled_from(VERBS)


def expected(verb: str, state: str) -> str | None:
    """Return the state after a verb that succeeds, or None if it has to be refused."""
    match verb:
        case "delete":
            return ABSENT
        case "start":
            return "running"
        case "stop" | "kill":
            return "stopped" if state in LIVE else state
        case "pause" | "resume" if state in IDLE:
            return None
        case "pause":
            return "paused"
        case _:
            return "running"


def send_only(client: Client, method: str, params: Mapping[str, object]) -> None:
    """Send a request, and do not wait for its reply."""
    talk = client._conversation.request(method, params, None)
    step, line = next(talk)
    while step != RECEIVE:
        step, line = talk.send(client._take(step, line, None))


def leave(client: Client) -> None:
    """Have a client end, and wait until the daemon has noticed: it may not have read yet."""
    assert client._socket is not None
    client._socket.shutdown(socket.SHUT_WR)
    client._socket.settimeout(60)
    while client._socket.recv(65536):
        pass
    client.close()


class Lifecycles(RuleBasedStateMachine):
    """The model is `states`: a name to a state; a VM that is not there has none."""

    world: ClassVar[World]
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.world.delete_others()
        self.states: dict[str, str] = {}
        self.clients = [Client(self.world.banger.layout, autostart=False) for _ in range(3)]

    def teardown(self) -> None:
        for client in self.clients:
            client.close()

    # --- what users do ---

    @rule(number=ONE_VM, start=st.booleans(), who=st.integers(0, 2))
    def create(self, number: int, start: bool, who: int) -> None:
        name = NAMES[number]
        try:
            self.clients[who].call("vm.create", {**SHAPE, "name": name, "start": start})
        except NameTaken:
            assert name in self.states
            self.agree({})
        else:
            assert name not in self.states
            self.agree({name: {"running" if start else "created"}})

    @rule(number=ONE_VM, verb=ONE_VERB, who=st.integers(0, 2))
    def act(self, number: int, verb: str, who: int) -> None:
        name = NAMES[number]
        if name not in self.states:
            with pytest.raises(VmNotFound):
                self.clients[who].call(f"vm.{verb}", {"ref": name})
            self.agree({})
            return
        after = expected(verb, self.states[name])
        try:
            self.clients[who].call(f"vm.{verb}", {"ref": name})
        except WrongState:
            assert after is None, (verb, self.states[name])
            after = self.states[name]
        assert after is not None, (verb, self.states[name])
        self.agree({name: {after}})

    # --- the nemesis ---

    @rule(number=ONE_VM, first=ONE_VERB, second=ONE_VERB, delay_s=DELAYS)
    def at_once(self, number: int, first: str, second: str, delay_s: float) -> None:
        name = NAMES[number]
        if name not in self.states:
            first = second = "create"
        begun = [self.begin(0, first, name)]
        time.sleep(delay_s)
        begun.append(self.begin(1, second, name))
        for thread in begun:
            thread.join()
        if first == "create":
            self.agree({name: AFTER["start"]})
        else:
            self.agree({name: {self.states[name], *self.reach(name, first, second)}})

    @rule(number=ONE_VM, verb=ONE_VERB, delay_s=DELAYS)
    def client_leaves(self, number: int, verb: str, delay_s: float) -> None:
        name = NAMES[number]
        verb = verb if name in self.states else "create"
        before = self.states.get(name, ABSENT)
        leaving = Client(self.world.banger.layout, autostart=False)
        params = {"ref": name} if verb != "create" else {**SHAPE, "name": name}
        send_only(leaving, f"vm.{verb}", params)
        time.sleep(delay_s)
        leave(leaving)
        self.agree({name: {before, ABSENT if verb == "create" else "stopped", *AFTER[verb]}})

    @rule(number=ONE_VM, verb=ONE_VERB, delay_s=DELAYS)
    def daemon_dies(self, number: int, verb: str, delay_s: float) -> None:
        name = NAMES[number]
        verb = verb if name in self.states else "create"
        before = self.states.get(name, ABSENT)
        thread = self.begin(0, verb, name)
        time.sleep(delay_s)
        self.world.daemon.kill()
        self.world.daemon.wait()
        thread.join()
        for client in self.clients:
            client.close()
        self.world.open_daemon()
        undone = {"start": {"stopped"}, "create": {ABSENT, "stopped"}}.get(verb, set())
        undone |= {"running"} if before == "paused" else set()
        self.agree({name: {before, *undone, *AFTER[verb]}})

    @rule()
    def vmm_dies(self) -> None:
        running = [name for name, state in self.states.items() if state == "running"]
        if not running:
            return
        name = running[0]
        vm = self.world.call("vm.show", ref=name)
        os.kill(vm["pid"], signal.SIGKILL)
        wait_for(lambda: identify(vm["pid"]) is None, "the VMM to end")
        wait_for(lambda: self.world.states()[name] != "running", "its end to be noticed")
        self.agree({name: {"error", "stopped"}})

    # --- agreement ---

    def reach(self, name: str, first: str, second: str) -> set[str]:
        """Return the states that two verbs at once can lead to."""
        found = {expected(verb, self.states[name]) for verb in (first, second)}
        for one, other in ((first, second), (second, first)):
            between = expected(one, self.states[name])
            if between not in (None, ABSENT):
                found.add(expected(other, between))
        # A start that gave way is undone.
        found |= {"stopped"} if "start" in (first, second) else set()
        return {state for state in found if state is not None}

    def begin(self, who: int, verb: str, name: str) -> threading.Thread:
        params = {"ref": name} if verb != "create" else {**SHAPE, "name": name}

        def run() -> None:
            try:
                self.clients[who].call(f"vm.{verb}", params)
            except InternalError as error:
                self.bug = error
            except (DaemonUnreachable, BangerError):
                pass

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    bug: BangerError | None = None

    def agree(self, allowed: dict[str, set[str]]) -> None:
        """Compare with what there is, and go on from that."""
        type(self).steps += 1
        assert self.bug is None, self.bug
        self.world.settle()
        found = self.world.states()
        for name in NAMES:
            want = allowed.get(name, {self.states.get(name, ABSENT)})
            assert found.get(name, ABSENT) in want, (name, self.states, found, want)
        self.states = found


@pytest.mark.timeout(LONG_S if ASKED else TIMEOUT_S)
def test_random_lives(world: World) -> None:
    """B3, B5, B11, C1, C5, C6: whoever asks, leaves or dies when, each VM is in one true state."""
    Lifecycles.world = world
    Lifecycles.steps = 0
    examples, steps = map(int, ASKED.split("x")) if ASKED else (EXAMPLES, STEPS)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=not ASKED,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Lifecycles, settings=chosen)
    finally:
        print(f"{world.driver}, {Lifecycles.steps} steps of {examples} runs")
    world.require_unharmed("witness")


def facts_of(world: World) -> dict[str, Any]:
    """Return what must be as before when all VMs of a test are gone."""
    layout = world.banger.layout
    pid = world.daemon.pid
    with world.banger.database() as rows:
        tables = [
            row[0] for row in rows.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        counts = {
            table: rows.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables
        }
    roots = (layout.vms, layout.runtime, layout.snapshots, layout.scratch, layout.staging)
    return {
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "rows": counts,
        "files": sorted(str(path) for root in roots for path in root.rglob("*")),
    }


def memory_of(world: World) -> tuple[int, int]:
    """Return the daemon's resident KiB and its threads."""
    lines = Path(f"/proc/{world.daemon.pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return int(status["VmRSS"].split()[0]), int(status["Threads"])


WARM, CYCLES = 8, int(os.environ.get("BANGER_TEST_CYCLES", "10"))
THREADS = 40
"""Of a pool of threads, which grows when it is needed and is bounded: asyncio's has at most 32."""
GROWTH_KIB = 6 * 1024


@pytest.mark.timeout(LONG_S if CYCLES > 10 else TIMEOUT_S)
def test_cycles_leave_nothing(world: World) -> None:
    """B3, C8, D7: descriptors, rows, files and memory are where they were."""

    def cycle(number: int) -> None:
        world.call("vm.create", **SHAPE, name=f"cycle-{number}")
        assert world.exec(f"cycle-{number}", "echo $((6 * 7))") == "42\n"
        world.call("vm.delete", ref=f"cycle-{number}")

    world.delete_others()
    for number in range(WARM):
        cycle(number)
    before, (resident, _) = facts_of(world), memory_of(world)
    cycles = CYCLES if world.driver == "qemu" else CYCLES // 4
    for number in range(cycles):
        cycle(number)
    wait_for(lambda: facts_of(world) == before, f"{facts_of(world)} to be {before}", deadline_s=10)
    grown, threads = memory_of(world)
    seen = f"{before['descriptors']} descriptors, {grown - resident:+} KiB"
    print(f"{world.driver}, {cycles} cycles: {seen}")
    assert grown - resident < GROWTH_KIB and threads <= THREADS
