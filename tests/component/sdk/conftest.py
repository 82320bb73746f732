"""A daemon for clients in this process: programs of the host stand in for a guest's.

Sessions and files are those of the real agent, a process of this host.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import pytest

import banger
from tests.component.daemon.running import scripted_daemon
from tests.support.forked import Forked

Environ = dict[str, str]


@pytest.fixture
def guest_directory(short_dir: Path) -> Path:
    """Where relative paths of the VMs are, on this host."""
    directory = short_dir / "guest"
    directory.mkdir()
    return directory


@pytest.fixture
def daemon(
    private_environ: Environ,
    agent_binary: Path,
    guest_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Forked]:
    """A daemon that this process's clients reach."""
    for name, value in private_environ.items():
        monkeypatch.setenv(name, value)
    environ = private_environ | {
        "BANGER_TEST_AGENT": str(agent_binary),
        "BANGER_TEST_WORKSPACE": str(guest_directory),
    }
    with scripted_daemon(environ, "tests.component.sdk.agent_daemon") as process:
        yield process


class Box(Protocol):
    """A VM, by either client."""

    def run(self, argv: list[str], **options: Any) -> banger.CompletedProcess[Any]: ...
    def state(self) -> str: ...
    def do(self, name: str, /, *args: Any, **options: Any) -> Any:
        """Return what the method of this name, such as `files.read`, returns."""

    def wait(self, given: Any) -> Any:
        """Return what a method of something that the VM gave has returned."""

    def open(self, block: Any) -> AbstractContextManager[Any]:
        """Enter and leave what is a block."""

    def read(self, given: Any) -> Iterator[Any]:
        """Yield what is iterated over."""

    def fork(self, number: int) -> list[str]:
        """Return the names of clones that are gone again."""


class SyncBox:
    def __init__(self, vm: banger.Vm) -> None:
        self._vm = vm
        self.run = vm.run

    def state(self) -> str:
        return self._vm.show()["state"]

    def do(self, name: str, /, *args: Any, **options: Any) -> Any:
        return attrgetter(name)(self._vm)(*args, **options)

    def wait(self, given: Any) -> Any:
        return given

    def open(self, block: Any) -> AbstractContextManager[Any]:
        entered: AbstractContextManager[Any] = block
        return entered

    def read(self, given: Any) -> Iterator[Any]:
        return iter(given)

    def fork(self, number: int) -> list[str]:
        with self._vm.fork(number) as forks:
            return [fork.name for fork in forks]


class AsyncBox:
    def __init__(self, vm: banger.AsyncVm, runner: asyncio.Runner) -> None:
        self._vm = vm
        self._runner = runner

    def run(self, argv: list[str], **options: Any) -> banger.CompletedProcess[Any]:
        done: banger.CompletedProcess[Any] = self._runner.run(self._vm.run(argv, **options))
        return done

    def state(self) -> str:
        return self._runner.run(self._vm.show())["state"]

    def do(self, name: str, /, *args: Any, **options: Any) -> Any:
        return self.wait(attrgetter(name)(self._vm)(*args, **options))

    def wait(self, given: Any) -> Any:
        return self._runner.run(given) if inspect.iscoroutine(given) else given

    @contextlib.contextmanager
    def open(self, block: Any) -> Iterator[Any]:
        entered = self._runner.run(block.__aenter__())
        try:
            yield entered
        finally:
            self._runner.run(block.__aexit__(None, None, None))

    def read(self, given: Any) -> Iterator[Any]:
        items = aiter(given)
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield self._runner.run(anext(items))

    def fork(self, number: int) -> list[str]:
        async def fork() -> list[str]:
            async with self._vm.fork(number) as forks:
                return [fork.name for fork in forks]

        return self._runner.run(fork())


@contextlib.contextmanager
def open_box(kind: str, **options: Any) -> Iterator[Box]:
    """A VM for the time of a block, by the `sync` or the `async` client."""
    if kind == "sync":
        with banger.Client(autostart=False).vm(**options) as vm:
            yield SyncBox(vm)
        return
    with asyncio.Runner() as runner:
        making = banger.AsyncClient(autostart=False).vm(**options)
        made = runner.run(making.__aenter__())
        try:
            yield AsyncBox(made, runner)
        except BaseException as error:
            runner.run(making.__aexit__(type(error), error, error.__traceback__))
            raise
        else:
            runner.run(making.__aexit__(None, None, None))


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def box(daemon: Forked, kind: str) -> Iterator[Box]:
    with open_box(kind, name="box") as box:
        yield box
