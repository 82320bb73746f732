"""The real guard between two socket pairs: the VMM's side and passt's.

Where clang is there tests run twice: with the guard as it ships, and with it under
AddressSanitizer and UndefinedBehaviorSanitizer. Both are built once per run. What only the one
that ships can hold is asked of `shipped_guard`.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.artifacts import CHECKOUT
from tests.unit.network.wire import Guard

BUILDS = ["shipped", "sanitized"] if shutil.which("clang") else ["shipped"]


@pytest.fixture(scope="session")
def guard_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which guards are built from the sources of now."""
    return tmp_path_factory.mktemp("guard")


@pytest.fixture(scope="session", params=BUILDS)
def guard_binary(request: pytest.FixtureRequest, guard_out: Path) -> Path:
    return build_guard(guard_out, request.param)


@pytest.fixture(scope="session")
def shipped_binary(guard_out: Path) -> Path:
    return build_guard(guard_out, "shipped")


def build_guard(out: Path, build: str) -> Path:
    target, name = {
        "shipped": ("all", "banger-guard"),
        "sanitized": ("asan", "banger-guard-asan"),
    }[build]
    make = ["make", "-s", "-C", str(CHECKOUT / "guard"), f"OUT={out}", target]
    subprocess.run(make, check=True, timeout=300)
    return out / name


@contextlib.contextmanager
def running_guard(binary: Path) -> Iterator[Guard]:
    """Run a guard; when its sides are closed it must have ended by itself, without a report."""
    guest, guarded = socket.socketpair()
    world, outer = socket.socketpair()
    with guest, world:
        with guarded, outer:
            numbers = (guarded.fileno(), outer.fileno())
            process = subprocess.Popen(
                [binary, *map(str, numbers), "label"], pass_fds=numbers, stderr=subprocess.PIPE
            )
        try:
            yield Guard(guest, world, process)
            guest.close()
            world.close()
            assert process.wait(Guard.DEADLINE_S) == 0
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def guard(guard_binary: Path) -> Iterator[Guard]:
    with running_guard(guard_binary) as running:
        yield running


@pytest.fixture
def shipped_guard(shipped_binary: Path) -> Iterator[Guard]:
    with running_guard(shipped_binary) as running:
        yield running


@pytest.fixture(scope="session")
def lasting_guard(guard_binary: Path) -> Iterator[Guard]:
    """One guard for the many frames of property tests, which leave nothing in it."""
    with running_guard(guard_binary) as running:
        yield running
