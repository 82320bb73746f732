"""Where a daemon can die: every transaction of every journalled verb, from the pure plans.

A verb opens a journal, records each step (or group of steps) as started and as done, saves
handles in between, and closes the journal. `PLANS` has each function of `banger.plan` that makes
a plan; `SCENARIOS` what each verb runs through, in order, for each driver. `test_points.py`
compares both with the code: a plan, a step or a journal that is not here fails it.

CI tries one death of each kind (`kind_of`): each edge of a journal, each step, each handle. Which
one, of which verb, on which side and with which driver, rotates with the sample
(tests/support/sampling.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from banger.model.names import VmId
from banger.model.vm import VmSpec
from banger.plan import lifecycle
from banger.plan.lifecycle import Plan
from banger.plan.steps import PauseVmm, ResumeVmm, Step
from tests.support.deaths import SIDES
from tests.support.sampling import ALL, NUMBER
from tests.support.specs import change_spec, make_spec
from tests.support.stand_in_worlds import HAS_TAPS

VM = VmId("0123456789ab")
ORIGIN = "snapshots/0123456789abcdef"
SPEC = make_spec(name="one", image_name="tiny", memory_mib=256, network="none")
NETWORKED = change_spec(SPEC, network="user")


def make_plans(networked: VmSpec) -> dict[str, Plan]:
    """Return a plan of each function, where one has a network for a VM of this spec."""
    return {
        "plan_create": lifecycle.plan_create(VM, SPEC),
        "plan_start": lifecycle.plan_start(VM, networked),
        "plan_clone": lifecycle.plan_clone(VM, networked, origin=ORIGIN),
        "plan_prepare": lifecycle.plan_prepare(VM, networked, origin=ORIGIN),
        "plan_restore": lifecycle.plan_restore(VM, SPEC, origin=ORIGIN),
        "plan_snapshot": lifecycle.plan_snapshot(
            VM, snapshot="s", machine="m", name="first", is_paused=False
        ),
        "plan_stop": lifecycle.plan_stop(VM, deadline_s=60),
        "plan_kill": lifecycle.plan_kill(VM),
        "plan_delete": lifecycle.plan_delete(VM),
    }


PLANS = make_plans(NETWORKED)
PAUSED_SNAPSHOT = lifecycle.plan_snapshot(
    VM, snapshot="s", machine="m", name="first", is_paused=True
)
CLONE_WITHOUT_NETWORK = lifecycle.plan_clone(VM, SPEC, origin=ORIGIN)
START_WITHOUT_NETWORK = lifecycle.plan_start(VM, SPEC)
CLONE_WITH_ENTRYPOINT = lifecycle.plan_clone(
    VM, change_spec(SPEC, entrypoint=("serve",)), origin="templates/t"
)
START_READ_ONLY = lifecycle.plan_start(VM, SPEC, read_only="/root/project")
RECORD = "record"
SAVES = {"start-network": "network", "spawn-vmm": "vmm", "restore-vmm": "vmm"}
FORGETS = {"end-vmm": "vmm", "end-network": "network"}
"""Handles that steps save and forget."""


@dataclass(frozen=True)
class Death:
    """A point, and the side of it at which the daemon dies."""

    point: str
    side: str


@dataclass(frozen=True)
class Scenario:
    """What one verb runs through."""

    journals: Sequence[tuple[str, Plan]]
    has_record: bool = False
    """The first transaction of the verb writes to no journal."""

    @property
    def points(self) -> list[str]:
        """Every transaction, in order."""
        names = [RECORD] if self.has_record else []
        for number, (journal, plan) in enumerate(self.journals):
            names += _transactions(journal, plan)
            # One that is begun anew takes the place of the one before.
            if [journal] == [following for following, _ in self.journals[number + 1 :][:1]]:
                names.pop()
        return names

    @property
    def deaths(self) -> list[Death]:
        """Every point on both sides. Of a point that occurs twice, the first occurrence."""
        return [Death(point, side) for point in dict.fromkeys(self.points) for side in SIDES]


def make_scenarios(plans: Mapping[str, Plan]) -> dict[str, Scenario]:
    """Return what each verb runs through, by these plans."""
    return {
        "create": Scenario([("vm.create", plans["plan_create"])]),
        "start": Scenario([("vm.start", plans["plan_start"])]),
        "start of a read-only workspace": Scenario([("vm.start", START_READ_ONLY)]),
        "clone": Scenario([("vm.create", plans["plan_clone"])]),
        "clone with an entry point": Scenario([("vm.create", CLONE_WITH_ENTRYPOINT)]),
        "stop": Scenario([("vm.stop", plans["plan_stop"])]),
        "kill": Scenario([("vm.kill", plans["plan_kill"])]),
        "delete": Scenario([("vm.delete", plans["plan_delete"])]),
        "prune": Scenario([("vm.delete", plans["plan_delete"])]),
        "pause": Scenario([("vm.pause", (PauseVmm(vm_id=VM),))]),
        "resume": Scenario([("vm.resume", (ResumeVmm(vm_id=VM),))]),
        "snapshot": Scenario([("vm.snapshot", plans["plan_snapshot"])]),
        "snapshot of a paused VM": Scenario([("vm.snapshot", PAUSED_SNAPSHOT)]),
        "restart": Scenario(
            [("vm.restart", plans["plan_stop"]), ("vm.restart", START_WITHOUT_NETWORK)]
        ),
        "restart of a VM whose client leaves": Scenario(
            [("vm.restart", plans["plan_stop"]), ("vm.restart", START_WITHOUT_NETWORK)]
        ),
        "run --rm": Scenario(
            [("vm.create", CLONE_WITHOUT_NETWORK), ("vm.delete", plans["plan_delete"])]
        ),
        "set": Scenario([], has_record=True),
        "claim": Scenario([("vm.claim", ())]),
        "fill": Scenario([("vm.claim", ()), ("vm.create", plans["plan_prepare"])]),
        "drain": Scenario([("vm.delete", plans["plan_delete"])]),
        "restore": Scenario([("vm.kill", plans["plan_kill"]), ("vm.start", plans["plan_restore"])]),
        "fork": Scenario(
            [("vm.snapshot", plans["plan_snapshot"]), ("vm.create", CLONE_WITHOUT_NETWORK)]
        ),
        "template build": Scenario(
            [
                ("vm.create", plans["plan_create"]),
                ("vm.start", START_WITHOUT_NETWORK),
                ("vm.delete", plans["plan_delete"]),
            ],
        ),
    }


WITH_FILES = ("clone with an entry point", "start of a read-only workspace")
"""In a guest that has files of its own."""
SCENARIOS: dict[str, dict[str, Scenario]] = {
    "qemu": make_scenarios(PLANS),
    # Its guests here have no files of their own, and no network where users may not make TAPs.
    "firecracker": {
        name: scenario
        for name, scenario in make_scenarios(PLANS if HAS_TAPS else make_plans(SPEC)).items()
        if name not in WITH_FILES
    },
}
"""By driver."""


def choose_deaths(number: int = NUMBER) -> dict[str, dict[str, list[Death]]]:
    """Return the deaths to try, by driver and by scenario; BANGER_TEST_CRASH=all: every one.

    A sample has one death of each kind, with VMs of one of the drivers. It has every scenario: one
    that has no death in the sample is run once, with the last driver that has it.
    """
    if ALL:
        return {
            driver: {name: scenario.deaths for name, scenario in scenarios.items()}
            for driver, scenarios in SCENARIOS.items()
        }
    chosen: dict[str, dict[str, list[Death]]] = {driver: {} for driver in SCENARIOS}
    for position, candidates in enumerate(deaths_by_kind().values()):
        driver, name, death = candidates[(number + position) % len(candidates)]
        chosen[driver].setdefault(name, []).append(death)
    has_scenario = {name: driver for driver, names in SCENARIOS.items() for name in names}
    for name in sorted(has_scenario.keys() - set().union(*chosen.values())):
        chosen[has_scenario[name]][name] = []
    return chosen


def deaths_by_kind() -> dict[str, list[tuple[str, str, Death]]]:
    """Return every death with its driver and the name of its scenario, grouped by kind.

    The drivers alternate in a group, as far as it has deaths of each.
    """
    kinds: dict[str, dict[str, list[tuple[str, str, Death]]]] = {}
    for driver, scenarios in SCENARIOS.items():
        for name, scenario in scenarios.items():
            for death in scenario.deaths:
                groups = kinds.setdefault(kind_of(death.point), {})
                groups.setdefault(driver, []).append((driver, name, death))
    return {
        kind: [death for row in zip_longest(*groups.values()) for death in row if death]
        for kind, groups in kinds.items()
    }


def kind_of(point: str) -> str:
    """Return what a point is about: `vm.stop begin`, `save vmm handle`, or the tags of its steps.

    A step is one kind whether it is started or done, and whichever journal it is in.
    """
    return " + ".join(tags) if (tags := list(_find_tags(point))) else point


def _find_tags(point: str) -> Iterator[str]:
    for part in point.split(" + "):
        if match := re.fullmatch(r"vm\.\S+ \d+ (\S+) (?:started|done)", part):
            yield match[1]


def _transactions(journal: str, plan: Plan) -> list[str]:
    number, names = 0, [f"{journal} begin"]
    for group in plan:
        steps = group if isinstance(group, tuple) else (group,)
        numbered = list(enumerate(steps, number))
        number += len(steps)
        tags = [tag_of(step) for step in steps]
        names.append(_record(journal, numbered, "started"))
        names += [f"save {SAVES[tag]} handle" for tag in tags if tag in SAVES]
        names += [f"delete {FORGETS[tag]} handle" for tag in tags if tag in FORGETS]
        names.append(_record(journal, numbered, "done"))
    return [*names, f"{journal} end"]


def _record(journal: str, numbered: list[tuple[int, Step]], status: str) -> str:
    return " + ".join(f"{journal} {number} {tag_of(step)} {status}" for number, step in numbered)


def tag_of(step: Step) -> str:
    """Return the tag that a step has in the journal."""
    return str(step.__struct_config__.tag)
