"""A scripted daemon for the tests of the command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.component.daemon.running import banger, scripted_daemon


@pytest.fixture
def daemon(private_environ: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of a running scripted daemon without VMs."""
    with scripted_daemon(private_environ):
        yield private_environ


@pytest.fixture
def vm(daemon: dict[str, str]) -> dict[str, str]:
    """The environment of a running scripted daemon with a VM `box`."""
    made = banger(daemon, "vm", "create", "--name", "box")
    assert made.returncode == 0, made.stderr
    return daemon
