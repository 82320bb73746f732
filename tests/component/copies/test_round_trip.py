"""Random trees through the packer, the real agent and the extractor, both ways."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.guest import GuestConnection, tar_in, tar_out
from banger.tar.extract import Renamed, extract
from banger.tar.format import DIRECTORY
from banger.tar.pack import Packing
from tests.component.copies.conftest import picture
from tests.support.agent import agent_connection

NAME = st.one_of(
    st.binary(min_size=1, max_size=12).filter(
        lambda n: not {0, 47} & set(n) and n not in (b".", b"..")
    ),
    st.sampled_from([b"n" * 255, b"a" * 100, b"a" * 101, "ü".encode(), b" ", b"-", b"\n"]),
)
TIME_NS = st.integers(-(2**31) * 10**9, 2**33 * 10**9)
FILE = st.tuples(
    st.just("file"),
    st.binary(max_size=2000),
    st.integers(0, 0o777).map(lambda m: m | 0o400),
    TIME_NS,
)
LINK = st.tuples(
    st.just("link"),
    st.binary(min_size=1, max_size=150).filter(lambda t: 0 not in t),
    st.just(0),
    TIME_NS,
)
SAME = st.tuples(st.just("same"), st.just(b""), st.just(0), TIME_NS)
TREE = st.recursive(
    st.dictionaries(NAME, st.one_of(FILE, LINK, SAME), max_size=4),
    lambda below: st.dictionaries(NAME, st.one_of(FILE, LINK, below), max_size=4),
    max_leaves=12,
)  # fmt: skip


def write(top: bytes, tree: dict[bytes, object], files: list[bytes]) -> None:
    """Make the tree; `same` is another name of a file that is there already."""
    os.mkdir(top)
    for name, what in tree.items():
        path = os.path.join(top, name)
        if isinstance(what, dict):
            write(path, what, files)
            continue
        kind, content, mode, mtime_ns = what  # type: ignore[misc]  # it is no nested tree
        if kind == "link":
            os.symlink(content, path)
            os.utime(path, ns=(0, mtime_ns), follow_symlinks=False)
        elif kind == "same" and files:
            os.link(files[0], path)
        else:
            with open(path, "wb") as file:
                file.write(content)
            os.chmod(path, mode or 0o600)
            os.utime(path, ns=(0, mtime_ns))
            files.append(path)
    os.utime(top, ns=(0, 10**18 + 1))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(TREE)
def test_any_tree_comes_back_as_it_was(
    agent_binary: Path, tmp_path_factory: pytest.TempPathFactory, tree: dict[bytes, object]
) -> None:
    top = tmp_path_factory.mktemp("trip")
    write(os.fsencode(top / "src"), tree, [])

    async def go() -> None:
        async with agent_connection(agent_binary) as connection:
            await into(connection, top / "src", top)
            await out(connection, top, top / "back")

    asyncio.run(go())
    for path in (top / "there", top / "back/again"):
        assert picture(path) == picture(top / "src")
        assert path.stat().st_mtime_ns == (top / "src").stat().st_mtime_ns
    shutil.rmtree(top)


async def into(connection: GuestConnection, source: Path, target: Path) -> None:
    packing = Packing(keep_owners=False)

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in packing.chunks(os.fsencode(source), b"there"):
            yield chunk

    await tar_in(connection, os.fsencode(target), chunks(), deadline_s=60)
    assert packing.left_out.count == 0


async def out(connection: GuestConnection, source: Path, target: Path) -> None:
    async with tar_out(connection, os.fsencode(source), [b"there"], deadline_s=60) as chunks:
        untrusted = [chunk async for chunk in chunks]
    target.mkdir()
    top = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    renamed = Renamed(b"there", b"again", DIRECTORY)
    extract(iter(untrusted), top, renamed=renamed, on_bytes=lambda size: None)
    os.close(top)
