"""A scripted daemon for clients in this process: programs of the host stand in for a guest's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

import banger
from tests.component.daemon.running import scripted_daemon
from tests.support.forkserver import Forked

Environ = dict[str, str]


@pytest.fixture
def daemon(private_environ: Environ, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forked]:
    """A daemon that this process's clients reach."""
    for name, value in private_environ.items():
        monkeypatch.setenv(name, value)
    with scripted_daemon(private_environ) as process:
        yield process


class Box(Protocol):
    """A VM, by either client."""

    def run(self, argv: list[str], **options: Any) -> banger.CompletedProcess[Any]: ...
    def state(self) -> str: ...
    def do(self, name: str, *args: Any, **options: Any) -> Any:
        """Return what a method of this name returns."""

    def fork(self, number: int) -> list[str]:
        """Return the names of clones that are gone again."""


class SyncBox:
    def __init__(self, vm: banger.Vm) -> None:
        self._vm = vm
        self.run = vm.run

    def state(self) -> str:
        return self._vm.show()["state"]

    def do(self, name: str, *args: Any, **options: Any) -> Any:
        return getattr(self._vm, name)(*args, **options)

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

    def do(self, name: str, *args: Any, **options: Any) -> Any:
        return self._runner.run(getattr(self._vm, name)(*args, **options))

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
