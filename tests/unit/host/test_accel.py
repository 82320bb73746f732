"""What /proc/cpuinfo says, and the KVM proof's guest."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.config import load_settings
from banger.host.cpu import CpuFacts, parse_cpuinfo, probe_cpu
from banger.model.vm import Accel
from banger.vmm.acceleration import prove_kvm
from banger.vmm.qemu.kind import DRIVER

CPUINFO = """processor\t: 0
model name\t: AMD EPYC
cpu MHz\t\t: 1400.000
flags\t\t: fpu vme de pse tsc msr svm
bogomips\t: 5192.24

processor\t: 1
model name\t: another
flags\t\t: fpu
bogomips\t: 1.00
"""
SETTINGS = load_settings(Path("/nonexistent"), {})


def test_the_tsc_frequency_is_half_of_bogomips_and_not_the_current_clock() -> None:
    facts = parse_cpuinfo(CPUINFO)
    assert (facts.model, facts.tsc_khz) == ("AMD EPYC", 2_596_120)
    assert "svm" in facts.flags


def test_without_a_tsc_there_is_no_frequency() -> None:
    assert parse_cpuinfo(CPUINFO.replace(" tsc", "")).tsc_khz is None
    assert parse_cpuinfo("").tsc_khz is None


@given(st.text())
def test_any_cpuinfo_gives_facts(text: str) -> None:
    assert isinstance(parse_cpuinfo(text), CpuFacts)


def test_the_proofs_guest_runs_to_its_end_under_emulation() -> None:
    """So a failure with KVM is KVM's."""
    assert asyncio.run(DRIVER.find_proof_failure(SETTINGS, Accel.TCG)) is None


def test_kvm_is_not_believed_without_the_cpus_flags() -> None:
    """A device node and an API version are no proof."""
    cpu = CpuFacts("some CPU", frozenset({"tsc"}), 1)
    verdict = asyncio.run(prove_kvm(DRIVER, SETTINGS, cpu))
    assert not verdict.usable
    assert "vmx" in verdict.reason


def test_the_verdict_on_this_host_is_what_qemu_does() -> None:
    verdict = asyncio.run(prove_kvm(DRIVER, SETTINGS, probe_cpu()))
    runs = asyncio.run(DRIVER.find_proof_failure(SETTINGS, Accel.KVM)) is None
    assert runs or not verdict.usable
    assert verdict.reason


def test_the_proof_makes_no_file_that_could_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """B3."""
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    assert asyncio.run(DRIVER.find_proof_failure(SETTINGS, Accel.TCG)) is None
