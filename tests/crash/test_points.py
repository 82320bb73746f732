"""The crash matrix has every plan, step and journal that there is (hazard B5)."""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterator
from pathlib import Path

import banger
from banger.plan import lifecycle
from banger.plan.steps import Step
from tests.crash.points import (
    PLANS,
    SCENARIOS,
    Death,
    choose_deaths,
    deaths_by_kind,
    kind_of,
    tag_of,
)

SOURCES = Path(banger.__file__).parent


def test_every_plan_is_tried() -> None:
    """B5: who adds a plan says here what its verb runs through."""
    plans = {name for name in vars(lifecycle) if name.startswith("plan_")}
    assert plans == set(PLANS)
    tried = {id(plan) for scenario in SCENARIOS["qemu"].values() for _, plan in scenario.journals}
    assert [name for name, plan in PLANS.items() if id(plan) not in tried] == []


def test_every_step_and_verb_is_in_each_sample() -> None:
    """B5: each tag of the journal's format, whatever the number of the sample."""
    known = {str(kind.__struct_config__.tag) for kind in typing.get_args(Step)}
    for number in (0, 1, 2):
        chosen = choose_deaths(number)
        tried = {
            tag for *_, death in deaths_of(chosen) for tag in kind_of(death.point).split(" + ")
        }
        assert known - tried == set(), number
        assert set().union(*chosen.values()) == set().union(*SCENARIOS.values()), number
        assert all(len(list(deaths_of({driver: chosen[driver]}))) > 15 for driver in SCENARIOS)


def test_the_samples_together_are_all_deaths() -> None:
    """B5: as many samples as the commonest kind has deaths try every one, with each driver."""
    rounds = max(map(len, deaths_by_kind().values()))
    tried = {death for number in range(rounds) for death in deaths_of(choose_deaths(number))}
    assert tried == {
        (driver, name, death)
        for driver, scenarios in SCENARIOS.items()
        for name, scenario in scenarios.items()
        for death in scenario.deaths
    }


def deaths_of(chosen: dict[str, dict[str, list[Death]]]) -> Iterator[tuple[str, str, Death]]:
    for driver, scenarios in chosen.items():
        for name, deaths in scenarios.items():
            yield from ((driver, name, death) for death in deaths)


def test_every_journal_is_tried() -> None:
    """B5: each name under which the sources open a journal; recovery goes by it."""
    tried = {journal for scenario in SCENARIOS["qemu"].values() for journal, _ in scenario.journals}
    assert find_journals() == tried


def test_there_are_enough_points() -> None:
    """B5."""
    assert sum(len(scenario.deaths) for scenario in SCENARIOS["qemu"].values()) >= 600
    assert len(deaths_by_kind()) >= 50
    assert all(
        tag_of(step) for plan in PLANS.values() for step in plan if not isinstance(step, tuple)
    )


def find_journals() -> set[str]:
    """Return what stands where a journal is opened, `vm.` texts or constants in such calls."""
    openers = {"begin_operation", "begin", "_begin", "_begin_ending", "write", "_start"}
    found = set()
    for path in SOURCES.joinpath("engine").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        constants = _find_constants(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            named = [keyword.value for keyword in node.keywords if keyword.arg == "journal"]
            values = [*named, *(node.args if name in openers else ())]
            texts = {
                constants.get(v.id) if isinstance(v, ast.Name) else getattr(v, "value", None)
                for v in values
            }
            found |= {t for t in texts if isinstance(t, str) and t.startswith("vm.")}
    return found


def _find_constants(tree: ast.Module) -> dict[str, str]:
    """Return the texts that a module has names for."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }
