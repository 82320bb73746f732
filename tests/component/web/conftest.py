"""Fronts on a scripted daemon, one for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.component.daemon.running import banger as run_banger
from tests.component.daemon.running import scripted_daemon
from tests.component.web.fronts import Environ, Front, running_front
from tests.support.environs import make_environ, make_short_dir

DAEMON = "tests.component.web.tokens_daemon"


def make_token(environ: Environ, name: str, scope: str) -> str:
    """Return a new token, by the command line."""
    done = run_banger(environ, "web", "token", "create", name, "--scope", scope)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def environ(run_dir: Path) -> Environ:
    return make_environ(make_short_dir(run_dir))


@pytest.fixture(scope="module")
def front(environ: Environ) -> Iterator[Front]:
    output = Path(environ["HOME"]) / "front.txt"
    with scripted_daemon(environ, DAEMON), running_front(environ, output) as port:
        yield Front(port, make_token(environ, "all", "manage"), output)
