"""The real filter between two socket pairs: the VMM's side and passt's.

Where clang is there tests run twice: with the filter as it ships, and with it under
AddressSanitizer and UndefinedBehaviorSanitizer. Both are built once for all runs of the same
sources. What only the one that ships can hold is asked of `shipped_filter`.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from banger.host.attachments import AttachmentKind
from banger.network.egress.control import control_socket
from banger.network.egress.process import plan_egress_filter
from tests.support.native import build_shared
from tests.unit.network.wire import EVERYTHING, EgressFilter

BUILDS = ["shipped", "sanitized"] if shutil.which("clang") else ["shipped"]


@pytest.fixture(scope="session", params=BUILDS)
def filter_binary(request: pytest.FixtureRequest) -> Path:
    return build_egress_filter(request.param)


@pytest.fixture(scope="session")
def shipped_binary() -> Path:
    return build_egress_filter("shipped")


def build_egress_filter(build: str) -> Path:
    suffix = {"shipped": "", "sanitized": "-asan"}[build]
    return build_shared("egress-filter", f"banger-egress-filter{suffix}")


@contextlib.contextmanager
def running_filter(
    binary: Path,
    policy: bytes = EVERYTHING,
    *,
    world_kind: socket.SocketKind = socket.SOCK_STREAM,
    network6: IPv6Network | None = None,
) -> Iterator[EgressFilter]:
    """Run a filter; when its sides are closed it must have ended by itself, without a report."""
    guest, guarded = socket.socketpair()
    world, outer = socket.socketpair(socket.AF_UNIX, world_kind)
    with guest, world, tempfile.TemporaryDirectory() as folder:
        control = Path(folder, "control")
        with guarded, outer, control_socket(control) as listener:
            numbers = (guarded.fileno(), outer.fileno(), listener.fileno())
            process = subprocess.Popen(
                plan_egress_filter(
                    binary,
                    guest=numbers[0],
                    world=numbers[1],
                    control=numbers[2],
                    attachment=AttachmentKind.SOCKET,
                    label=control,
                    network6=network6,
                ),
                pass_fds=numbers,
                stderr=subprocess.PIPE,
            )
        try:
            running = EgressFilter(guest, world, process, control)
            if policy:
                assert running.ask(b"P" + policy) == b"P"
            yield running
            guest.close()
            world.close()
            assert process.wait(EgressFilter.DEADLINE_S) == 0
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def egress_filter(filter_binary: Path) -> Iterator[EgressFilter]:
    with running_filter(filter_binary) as running:
        yield running


@pytest.fixture
def shipped_filter(shipped_binary: Path) -> Iterator[EgressFilter]:
    with running_filter(shipped_binary) as running:
        yield running


@pytest.fixture(scope="session")
def lasting_filter(filter_binary: Path) -> Iterator[EgressFilter]:
    """One filter for the many frames of property tests, which leave nothing in it."""
    with running_filter(filter_binary) as running:
        yield running
