"""H8: what `doctor` says of TAPs, where a kind of driver needs one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from banger import words
from banger.config import decide_settings
from banger.doctor import taps
from banger.doctor.programs import CheckState
from banger.errors import HostNotReady
from banger.host.attachments import AttachmentKind
from banger.vmm.tap import DEVICE
from tests.support.toys.driver.kind import Toy

SETTINGS = decide_settings({}, Path("/nonexistent"), {})


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of driver that takes TAPs."""
    monkeypatch.setitem(words.DRIVERS, "toy", "tests.support.toys.driver")
    monkeypatch.setattr(Toy, "attachment", AttachmentKind.TAP)
    monkeypatch.setattr(Toy, "list_programs", lambda *_: ("true",))


def test_nothing_is_said_where_no_driver_needs_one() -> None:
    assert list(taps.probe_taps(SETTINGS, drivers=["qemu"])) == []


@pytest.mark.usefixtures("toys")
def test_nothing_is_said_of_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toy, "list_programs", lambda *_: ("true", "/nonexistent/toy"))
    assert list(taps.probe_taps(SETTINGS, drivers=["toy"])) == []


@pytest.mark.usefixtures("toys")
def test_a_closed_device_is_named_with_what_opens_it() -> None:
    (check,) = taps.probe_taps(SETTINGS, drivers=["toy"])
    if os.access(DEVICE, os.R_OK | os.W_OK):
        assert (check.state, check.hint) == (CheckState.OK, None), check.fact
        assert "toy" in check.fact
    else:
        assert check.state is CheckState.WARN
        assert DEVICE in check.fact
        assert "VMs of toy have no network" in check.fact
        assert check.hint == f"sudo chmod 666 {DEVICE}"


@pytest.mark.usefixtures("toys")
def test_a_banger_without_the_program_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing() -> None:
        raise HostNotReady("This banger has no program that makes TAPs for z80.")

    monkeypatch.setattr(taps, "find_tap_program", find_nothing)
    (check,) = taps.probe_taps(SETTINGS, drivers=["toy"])
    assert (check.state, check.hint) == (CheckState.WARN, None)
    assert "z80" in check.fact
