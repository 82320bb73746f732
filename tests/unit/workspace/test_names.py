"""E1, F4: which names may become files."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import InvalidRequest
from banger.workspace.names import is_gitmodules, is_safe_name, parents, parse_directory

UNSAFE = [
    b"",
    b".",
    b"..",
    b"/etc/passwd",
    b"a//b",
    b"a/",
    b"../x",
    b"a/../../x",
    b"a/..",
    b"./a",
    b"a/./b",
    b".git",
    b".git/hooks/pre-commit",
    b".GIT/config",
    b"sub/.gIt/config",
    b".git /config",
    b".git./config",
    b".git. . ./x",
    b".git::$INDEX_ALLOCATION/x",
    b".git:stream",
    b"git~1/config",
    b"GIT~1",
    b"a\\..\\..\\x",
    b".git\\hooks\\post-checkout",
    b"a\\.git\\config",
    b"\\..\\x",
    ".g\u200cit/config".encode(),
    ".\u200egit".encode(),
    "\ufeff.git/hooks".encode(),
    b"nul\0byte",
    b"x" * 5000,
]
SAFE = [
    b"a",
    b"a/b",
    b".gitignore",
    b".gitattributes",
    b".gitmodules",
    b".github/workflows/x.yml",
    b"git",
    b"a.git",
    b".gitx",
    b"...",
    b"..a",
    b"back\\slash",
    b"new\nline",
    b"\xff\xfe",
    "gr\u00fc\u00df".encode(),
    b"-dash",
    b"git~x",
]


@pytest.mark.parametrize("name", UNSAFE)
def test_refuses_names_that_leave_the_tree_or_reach_git(name: bytes) -> None:
    assert not is_safe_name(name)


@pytest.mark.parametrize("name", SAFE)
def test_accepts_names_that_real_trees_have(name: bytes) -> None:
    assert is_safe_name(name)


PARTS = st.sampled_from([b"..", b".", b"", b"a", b".git", b"b\\c", b"..\\..", b"\xc3\xa9"])


@given(st.lists(PARTS, min_size=1).map(b"/".join))
def test_a_safe_name_stays_below_its_directory(name: bytes) -> None:
    if is_safe_name(name):
        for reading in (name, name.replace(b"\\", b"/")):
            assert os.path.normpath(b"/top/" + reading).startswith(b"/top/")


@pytest.mark.parametrize("name", [b".gitmodules", b".GITMODULES", b"gitmod~1", b".gitmodules. "])
def test_knows_gitmodules_in_every_spelling(name: bytes) -> None:
    assert is_gitmodules(name)


def test_gitmodules_elsewhere_is_an_ordinary_file() -> None:
    assert not is_gitmodules(b"sub/.gitmodules")


def test_parents_are_outermost_first() -> None:
    assert parents(b"a/b/c") == [b"a", b"a/b"]
    assert parents(b"a") == []


@pytest.mark.parametrize(
    ("given", "parsed"),
    [(None, None), ("", None), (".", None), ("a/..", None), ("a", "a"), ("./a//b/", "a/b")],
)
def test_a_directory_of_the_repository_is_normal(given: str | None, parsed: str | None) -> None:
    assert parse_directory(given) == parsed


@pytest.mark.parametrize("path", ["/", "/etc", "..", "../x", "a/../../x", "a\0b", "//etc"])
def test_a_directory_outside_of_the_repository_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest, match="relative to the repository's top"):
        parse_directory(path)
