"""Whose settings a request gets: its caller's, and those of the file as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.component.daemon.running import banger, layout_of

Environ = dict[str, str]


@pytest.fixture
def daemon(private_environ: Environ) -> Iterator[Environ]:
    """The environment of a running daemon."""
    assert banger(private_environ, "daemon", "restart").returncode == 0
    yield private_environ
    assert banger(private_environ, "daemon", "stop").returncode == 0


def test_a_request_gets_its_callers_settings(daemon: Environ) -> None:
    """The daemon was started by a shell that set nothing."""
    asked = {**daemon, "BANGER_DEFAULT_IMAGE": "no-such-image"}
    assert b"no-such-image" in banger(asked, "vm", "create").stderr
    assert b"no-such-image" not in _create(daemon, "--image", "another")
    bad = banger({**daemon, "BANGER_VM_DEFAULTS_VCPU": "many"}, "vm", "create")
    assert bad.returncode == 2 and b"BANGER_VM_DEFAULTS_VCPU is 'many'" in bad.stderr


def test_the_file_is_read_again(daemon: Environ) -> None:
    """A file with a fault is told at each request, and changes nothing."""
    file = _write(daemon, 'default_image = "no-such-image"')
    assert b"no-such-image" in _create(daemon)
    file.write_text('default_image = "no-such-image"\nvcpus = 3')
    said = _create(daemon)
    assert b"there is no setting vcpus" in said and b"stay in effect" in said
    assert b"no-such-image" in said
    file.write_text('default_image = "no-other-image"')
    said = _create(daemon)
    assert b"no-other-image" in said and b"stay in effect" not in said


def _create(environ: Environ, *options: str) -> bytes:
    done = banger(environ, "vm", "create", *options)
    assert done.returncode == 4, done.stderr
    return done.stderr


def _write(environ: Environ, text: str) -> Path:
    file = layout_of(environ).config_file
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file
