"""Specs of VMs for tests that say only what matters to them."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from banger.model.vm import Accel, Ending, Program, Shape, VmSpec

PARTS = {"shape": Shape, "program": Program, "ending": Ending}
PLAIN = VmSpec(
    name="calm-otter",
    image="i" * 64,
    image_name="debian-bookworm",
    kernel="k" * 64,
    shape=Shape(vcpu=1, memory_mib=512, disk_mib=1024, network="user"),
    driver="qemu",
    accel=Accel.TCG,
)


def make_spec(name: str = "calm-otter", **given: Any) -> VmSpec:
    """Return a spec like any other but for what is given."""
    return change_spec(PLAIN, name=name, **given)


def change_spec(spec: VmSpec, **given: Any) -> VmSpec:
    """Return a spec with what is given put into the part that it belongs to."""
    for name, kind in PARTS.items():
        inner = {key: given.pop(key) for key in kind.__struct_fields__ if key in given}
        given[name] = structs.replace(getattr(spec, name), **inner)
    return structs.replace(spec, **given)
