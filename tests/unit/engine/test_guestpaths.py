"""Paths in a guest as users type them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.engine.verbs.guestpaths import find_home, parse_guest_path
from banger.errors import InvalidRequest
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState
from tests.support.specs import make_spec

PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\nbad:x:7\n\xff:::::x:\n"
)
NO_GUEST: Any = None
"""A path below the image's working directory asks no guest."""


def parse(typed: str, workdir: str = "/srv/app") -> tuple[bytes, bool, bool]:
    record = VmRecord(
        id=VmId("0" * 12),
        spec=make_spec(workdir=workdir),
        state=VmState.RUNNING,
        created_at=0.0,
    )
    path = asyncio.run(parse_guest_path(NO_GUEST, record, typed))
    return path.name, path.is_directory, path.is_content


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("/a/b", (b"/a/b", False, False)),
        ("//a//b/", (b"/a/b", True, False)),
        ("/a/b/.", (b"/a/b", True, True)),
        ("/a/../b", (b"/b", False, False)),
        ("/a/..", (b"/", True, False)),
        ("/../../x", (b"/x", False, False)),
        ("b", (b"/srv/app/b", False, False)),
        ("", (b"/srv/app", True, False)),
        (".", (b"/srv/app", True, True)),
        ("../b", (b"/srv/b", False, False)),
        ("./~/b", (b"/srv/app/~/b", False, False)),
        ("~b", (b"/srv/app/~b", False, False)),
        ("/caf\udce9", (b"/caf\xe9", False, False)),
    ],
)
def test_paths(typed: str, expected: tuple[bytes, bool, bool]) -> None:
    assert parse(typed) == expected


@pytest.mark.parametrize("typed", ["/a\0b", "/" + "n" * 256, "/n" * 2100])
def test_paths_that_no_file_has(typed: str) -> None:
    with pytest.raises(InvalidRequest):
        parse(typed)


@given(
    st.text(
        st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=60
    ).filter(lambda typed: typed.split("/", 1)[0] != "~")  # asks the guest
)
def test_any_path_is_absolute_and_plain(typed: str) -> None:
    name, _, _ = parse(typed)
    assert name.startswith(b"/") and not {b"..", b"."} & set(name.split(b"/"))


def test_homes() -> None:
    assert [find_home(PASSWD, user) for user in ("0", "root", "node", "1000")] == [
        b"/root", b"/root", b"/home/node", b"/home/node",
    ]  # fmt: skip
    assert [find_home(PASSWD, user) for user in ("7", "nobody", "")] == [b"/", b"/", b"/"]
    assert find_home(b"", "0") == b"/"


@given(st.binary(max_size=300), st.text(max_size=5))
def test_any_passwd_gives_an_absolute_home(untrusted: bytes, user: str) -> None:
    home = find_home(untrusted, user)
    assert home.startswith(b"/") and b"\0" not in home
