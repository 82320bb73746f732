"""D5: what a template's key covers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from banger.model.setup import Setup, SetupInput
from banger.model.vm import Accel, Program
from banger.templates import TemplateFacts, make_key, make_layer_key
from tests.support.specs import change_spec, make_spec

SPEC = make_spec()
FACTS = TemplateFacts(
    vmm="qemu 7.2.0 abc argv 1", cpu_model="A CPU", cpu_flags=frozenset({"a", "b"}), tsc_khz=1
)


@pytest.mark.parametrize(
    "change",
    [
        {"image": "j" * 64},
        {"kernel": "l" * 64},
        {"vcpu": 2},
        {"memory_mib": 513},
        {"disk_mib": 1025},
        {"network": "none"},
        {"driver": "other"},
        {"accel": Accel.KVM},
    ],
)
def test_another_machine_has_another_key(change: dict[str, object]) -> None:
    assert make_key(change_spec(SPEC, **change), FACTS) != make_key(SPEC, FACTS)


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, vmm="qemu 7.2.0 abd argv 1"),
        replace(FACTS, cpu_model="B CPU"),
        replace(FACTS, cpu_flags=frozenset({"a"})),
        replace(FACTS, tsc_khz=2),
    ],
)
def test_another_host_or_vmm_has_another_key(facts: TemplateFacts) -> None:
    assert make_key(SPEC, facts) != make_key(SPEC, FACTS)


def test_names_and_labels_do_not_count() -> None:
    other = change_spec(SPEC, name="other", labels={"a": "b"}, ephemeral=True)
    assert make_key(other, FACTS) == make_key(SPEC, FACTS)
    again = replace(FACTS, cpu_flags=frozenset({"b", "a"}))
    assert make_key(SPEC, again) == make_key(SPEC, FACTS)


INPUT = SetupInput(path="a", content=b"1")
SETUP = Setup(commands=["true", "false"], directory="/root/project", inputs=[INPUT])
ONE, TWO = make_key(SPEC, FACTS), make_key(SPEC, replace(FACTS, tsc_khz=2))


@pytest.mark.parametrize(
    "change",
    [
        {"commands": ["true"]},
        {"commands": ["false", "true"]},
        {"directory": "/root/other"},
        {"inputs": []},
        {"inputs": [structs.replace(INPUT, content=b"2")]},
        {"inputs": [structs.replace(INPUT, path="b")]},
        {"inputs": [structs.replace(INPUT, executable=True)]},
    ],
)
def test_another_setup_has_another_key(change: dict[str, object]) -> None:
    other = structs.replace(SETUP, **change)
    assert make_layer_key(ONE, SPEC, other) != make_layer_key(ONE, SPEC, SETUP)


def test_another_base_or_other_variables_have_another_key() -> None:
    key = make_layer_key(ONE, SPEC, SETUP)
    with_variable = structs.replace(SPEC, program=Program(env={"A": "1"}))
    assert len({key, ONE, make_layer_key(TWO, SPEC, SETUP)}) == 3
    assert make_layer_key(ONE, with_variable, SETUP) != key
    named = structs.replace(SPEC, name="other", labels={"a": "b"})
    assert make_layer_key(ONE, named, SETUP) == key


def test_a_directory_may_have_any_bytes() -> None:
    """Names of files need not be UTF-8."""
    odd = structs.replace(SETUP, directory="/root/\udce9")
    assert make_layer_key(ONE, SPEC, odd) != make_layer_key(ONE, SPEC, SETUP)
