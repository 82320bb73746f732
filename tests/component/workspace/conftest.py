"""A repository, a guest, and the way between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from banger.guest import GuestFiles
from banger.model.vm import WorkspaceRecord
from banger.workspace import (
    PreparedWorkspace,
    RepositoryFacts,
    export_patch,
    import_workspace,
    inspect_directory,
    inspect_repository,
    plan_import,
)
from tests.support import repositories as repo
from tests.support.local_guest import LocalGuest

DEADLINE_S = 100.0


@dataclass
class Trip:
    """One repository `top` and the workspace `work` that it becomes in a guest."""

    top: Path
    work: Path
    guest: LocalGuest
    scratch: Path
    prepared: PreparedWorkspace | None = None
    notices: list[str] = field(default_factory=list)
    is_plain: bool = False

    @property
    def bases(self) -> Path:
        return self.scratch.with_name("bases")

    def inspect(self, **options: object) -> RepositoryFacts:
        inspect: Callable[..., object] = inspect_repository
        facts = asyncio.run(inspect(self.top, scratch=self.scratch, **options))  # type: ignore[arg-type]
        assert isinstance(facts, RepositoryFacts)
        return facts

    def inspect_plain(self, *, exclude: bytes = b"") -> RepositoryFacts:
        inspected = inspect_directory(self.top, exclude=exclude, scratch=self.scratch)
        return asyncio.run(inspected)

    def prepare(self, *, plain: bool = False, **options: object) -> PreparedWorkspace:
        self.is_plain = plain
        facts = self.inspect_plain(**options) if plain else self.inspect(**options)
        plan = plan_import(facts, str(self.work))
        self.prepared = asyncio.run(
            import_workspace(
                self.guest, plan, deadline_s=DEADLINE_S, bases=self.bases, scratch=self.scratch
            )
        )
        assert list(self.scratch.iterdir()) == []
        return self.prepared

    @property
    def record(self) -> WorkspaceRecord:
        assert self.prepared is not None
        return WorkspaceRecord(
            host_path=self.prepared.host_path,
            guest_path=self.prepared.guest_path,
            commit=self.prepared.commit,
            branch=self.prepared.branch,
            base=self.prepared.base,
            is_plain=self.is_plain,
        )

    def export(self, guest: GuestFiles | None = None, *, since_commit: bool = False) -> bytes:
        self.notices.clear()

        async def collect() -> bytes:
            stream = export_patch(
                guest or self.guest,
                self.record,
                deadline_s=DEADLINE_S,
                bases=self.bases,
                since_commit=since_commit,
                notify=self.notices.append,
                scratch=self.scratch,
            )
            async with aclosing(stream) as chunks:
                return b"".join([chunk async for chunk in chunks])

        return asyncio.run(collect())


@pytest.fixture
def trip(tmp_path: Path) -> Trip:
    return new_trip(tmp_path)


def new_trip(directory: Path) -> Trip:
    """A trip whose repository has a commit of two files and is named `project`."""
    scratch = directory / "scratch"
    scratch.mkdir()
    top = repo.init(directory / "project")
    repo.write(top, "README", b"read me\n")
    repo.write(top, "src/main.py", b"print('hello')\n", mode=0o755)
    repo.commit(top, "first")
    guest = LocalGuest(directory / "guest-home")
    return Trip(top, directory / "guest/project", guest, scratch)
