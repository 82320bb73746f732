"""D5: what a template's key covers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from banger.model.vm import Accel
from banger.templates import TemplateFacts, make_key
from tests.support.specs import change_spec, make_spec

SPEC = make_spec(
    name="calm-otter",
    image="i" * 64,
    image_name="debian-bookworm",
    kernel="k" * 64,
    vcpu=1,
    memory_mib=512,
    disk_mib=1024,
    network="user",
    driver="qemu",
    accel=Accel.TCG,
)
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
