"""Fronts on a scripted daemon, one for all tests of a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import store
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState
from tests.component.daemon.running import banger, layout_of, scripted_daemon
from tests.component.web.fronts import Environ, Front, running_front
from tests.support.agent import find_or_build_agent, running_agent
from tests.support.environs import make_environ, make_short_dir
from tests.support.specs import make_spec

SCRIPTED = "tests.component.web.tokens_daemon"


def make_token(environ: Environ, name: str, scope: str) -> str:
    """Return a new token, by the command line."""
    done = banger(environ, "web", "token", "create", name, "--scope", scope)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def environ(run_dir: Path) -> Environ:
    return make_environ(make_short_dir(run_dir))


@pytest.fixture(scope="module")
def front(environ: Environ) -> Iterator[Front]:
    output = Path(environ["HOME"]) / "front.txt"
    with scripted_daemon(environ, SCRIPTED), running_front(environ, output) as port:
        yield Front(port, make_token(environ, "all", "manage"), output)


@pytest.fixture
def box(front: Front) -> str:
    """A VM whose programs are this host's."""
    view = front.call("vm.create", {}).json
    return str(view["name"])


@pytest.fixture(scope="module")
def real_environ(run_dir: Path) -> Iterator[Environ]:
    """An environment with the rows of two VMs; whatever daemon runs there at the end is ended."""
    environ = make_environ(make_short_dir(run_dir))
    asyncio.run(_fill(layout_of(environ).database))
    yield environ
    banger(environ, "daemon", "stop")


async def _fill(path: Path) -> None:
    database = await store.open_database(path)
    for number, name in enumerate(("first", "second")):
        spec = make_spec(name=name, disk_mib=64, network="none")
        vm_id = VmId(f"{number:012x}")
        record = VmRecord(id=vm_id, spec=spec, state=VmState.STOPPED, created_at=number)
        await database.write(store.insert_vm, record)
    await database.close()


@pytest.fixture(scope="module")
def real(real_environ: Environ) -> Iterator[Front]:
    """A front on a real daemon, which the front or the command line starts."""
    output = Path(real_environ["HOME"]) / "front.txt"
    token = make_token(real_environ, "all", "manage")
    with running_front(real_environ, output) as port:
        yield Front(port, token, output)


@pytest.fixture(scope="module")
def agents(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A front on a daemon whose VM `box` is the real agent."""
    environ = make_environ(make_short_dir(run_dir))
    output = Path(environ["HOME"]) / "front.txt"
    binary = find_or_build_agent(tmp_path_factory.mktemp("agent"))
    with running_agent(binary) as agent:
        fd = os.dup(agent.socket.fileno())
        program = "tests.component.sessions.agent_daemon"
        more = {**environ, "BANGER_TEST_AGENT_FD": str(fd)}
        with scripted_daemon(more, program, pass_fds=(fd,)):
            os.close(fd)
            token = make_token(environ, "all", "use")
            with running_front(environ, output) as port:
                yield Front(port, token, output)
