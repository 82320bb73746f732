"""The plan of a sync against a model: both sides are dictionaries, and a plan changes both."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from banger.model.sides import Side
from banger.workspace.syncplan import (
    ConflictKind,
    SideChanges,
    SideFiles,
    SyncConflict,
    SyncPlan,
    plan_sync,
)
from banger.workspace.trees import TreeEntry
from tests.unit.workspace.test_merging import NAMES, TREES, Tree, is_valid

SETS = st.frozensets(st.sampled_from(NAMES), max_size=2)


def plan(base: Tree, host: Tree, guest: Tree, prefer: Side | None = None) -> SyncPlan:
    return plan_sync(base, SideFiles(host), SideFiles(guest), prefer=prefer)


def carry_out(changes: SideChanges, tree: Tree) -> Tree:
    kept = {name: entry for name, entry in tree.items() if name not in changes.remove}
    return kept | changes.write


@given(TREES, TREES, TREES)
def test_no_content_of_either_side_is_lost(base: Tree, host: Tree, guest: Tree) -> None:
    """A11: what a side has made itself is there afterwards, and so is a name in conflict."""
    planned = plan(base, host, guest)
    named = {each.name for each in planned.conflicts}
    for changes, tree, other in ((planned.host, host, guest), (planned.guest, guest, host)):
        made = carry_out(changes, tree)
        assert is_valid(made)
        for name in base.keys() | tree.keys():
            if tree.get(name) != base.get(name) or name in named:
                assert made.get(name) == tree.get(name)
            else:
                assert made.get(name) in (tree.get(name), other.get(name))


@given(TREES, TREES, TREES)
def test_without_conflicts_both_sides_are_equal(base: Tree, host: Tree, guest: Tree) -> None:
    planned = plan(base, host, guest)
    named = {each.name for each in planned.conflicts}
    ours, theirs = carry_out(planned.host, host), carry_out(planned.guest, guest)
    after = planned.next_base(base, frozenset())
    for name in base.keys() | ours.keys() | theirs.keys():
        if name in named:
            assert after.get(name) == base.get(name)
        elif name in planned.agreed:
            assert ours.get(name) == theirs.get(name) == after.get(name)
        else:  # A file with two new names: these are the conflict.
            assert name not in ours and name not in theirs
    if not named:
        assert ours == theirs == after


@given(TREES, TREES, TREES)
def test_a_base_is_always_a_tree(base: Tree, host: Tree, guest: Tree) -> None:
    planned = plan(base, host, guest)
    assert is_valid(planned.next_base(base, frozenset()))


@given(TREES, TREES, TREES)
@example(
    {b"a": TreeEntry(0o100755, "0"), b"b/x": TreeEntry(0o100755, "0")},
    {b"b": TreeEntry(0o100755, "0")},
    {b"b/x": TreeEntry(0o100644, "0")},
)
def test_again_there_is_nothing_to_do(base: Tree, host: Tree, guest: Tree) -> None:
    """With the new base, and also with the old one: as after a death before it was saved.

    The new base may show a rename that the old one did not: it has one file of this content less.
    """
    planned = plan(base, host, guest)
    ours, theirs = carry_out(planned.host, host), carry_out(planned.guest, guest)
    for known in (planned.next_base(base, frozenset()), base):
        again = plan(known, ours, theirs)
        assert not again.host and not again.guest
    after = planned.next_base(base, frozenset())
    for first, second in zip(planned.conflicts, plan(after, ours, theirs).conflicts, strict=True):
        assert first.name == second.name
        assert second == first or second.kind is ConflictKind.RENAMED


@given(TREES, TREES, TREES)
def test_the_sides_are_alike(base: Tree, host: Tree, guest: Tree) -> None:
    planned, turned = plan(base, host, guest), plan(base, guest, host)
    assert (planned.host, planned.guest) == (turned.guest, turned.host)
    assert [c.name for c in planned.conflicts] == [c.name for c in turned.conflicts]


@given(TREES, TREES, TREES, st.sampled_from(Side))
def test_a_preferred_side_keeps_all_it_has(
    base: Tree, host: Tree, guest: Tree, prefer: Side
) -> None:
    planned = plan(base, host, guest, prefer)
    changes, tree = (planned.host, host) if prefer is Side.HOST else (planned.guest, guest)
    made = carry_out(changes, tree)
    for name, entry in tree.items():
        assert entry == base.get(name) or made[name] == entry
    assert is_valid(carry_out(planned.host, host)) and is_valid(carry_out(planned.guest, guest))


@given(TREES, TREES, TREES, SETS, SETS)
def test_what_cannot_be_copied_is_not_touched(
    base: Tree, host: Tree, guest: Tree, other: frozenset[bytes], private: frozenset[bytes]
) -> None:
    """E1, A5: nothing replaces a pipe, and an untracked file of the host never leaves it."""
    host = {name: entry for name, entry in host.items() if name not in other}
    private = (private & host.keys()) - base.keys()
    files = SideFiles(host, other, {name: frozenset([name + b"/z"]) for name in other}, private)
    for prefer in (None, Side.HOST):
        planned = plan_sync(base, files, SideFiles(guest), prefer=prefer)
        assert planned.host.write.keys().isdisjoint(other | private)
        assert planned.host.remove.isdisjoint(private)
        assert planned.guest.write.keys().isdisjoint(private)


F, G, X = TreeEntry(0o100644, "0"), TreeEntry(0o100644, "1"), TreeEntry(0o100755, "0")
H, LINK = TreeEntry(0o100644, "2"), TreeEntry(0o120000, "3")
K = ConflictKind
CONFLICTS: list[tuple[Tree, Tree, Tree, list[SyncConflict]]] = [
    ({b"a": F}, {b"a": G}, {b"a": H}, [SyncConflict(b"a", K.BOTH_CHANGED)]),
    ({}, {b"a": G}, {b"a": H}, [SyncConflict(b"a", K.BOTH_ADDED)]),
    ({b"a": F}, {}, {b"a": H}, [SyncConflict(b"a", K.DELETED_ON_HOST)]),
    ({b"a": F}, {b"a": G}, {}, [SyncConflict(b"a", K.DELETED_IN_GUEST)]),
    ({b"a": F}, {b"a": X}, {b"a": G}, [SyncConflict(b"a", K.MODE)]),
    ({}, {b"a": X}, {b"a": F}, [SyncConflict(b"a", K.MODE)]),
    ({b"a": F}, {b"a": LINK}, {b"a": G}, [SyncConflict(b"a", K.TYPE)]),
    (
        {b"a": F},
        {b"b": F},
        {b"a": G},
        [SyncConflict(b"a", K.RENAMED, b"b"), SyncConflict(b"b", K.RENAMED, b"a")],
    ),
    (
        {b"a": F},
        {b"b": F},
        {b"c": F},
        [SyncConflict(b"b", K.RENAMED, b"c"), SyncConflict(b"c", K.RENAMED, b"b")],
    ),
    (
        {},
        {b"Read": F},
        {b"read": G},
        [SyncConflict(b"Read", K.CASE, b"read"), SyncConflict(b"read", K.CASE, b"Read")],
    ),
    (
        {},
        {b"a": F},
        {b"a/x": G},
        [
            SyncConflict(b"a", K.DIRECTORY_IN_THE_WAY),
            SyncConflict(b"a/x", K.FILE_IN_THE_WAY),
        ],
    ),
]


@pytest.mark.parametrize(("base", "host", "guest", "conflicts"), CONFLICTS)
def test_each_kind_is_named(
    base: Tree, host: Tree, guest: Tree, conflicts: list[SyncConflict]
) -> None:
    planned = plan(base, host, guest)
    assert list(planned.conflicts) == conflicts
    assert not planned.host and not planned.guest


def test_twins_of_one_side_and_a_rename_to_another_case_are_no_conflict() -> None:
    assert not plan({}, {b"Read": F, b"read": G}, {}).conflicts
    planned = plan({b"Read": F}, {b"read": F}, {b"Read": F})
    assert planned.guest == SideChanges({b"read": F}, frozenset({b"Read"}))


def test_a_side_is_preferred_for_some_names_only() -> None:
    base = {b"a/x": F, b"a/y": F, b"ab": F}
    sides = (dict.fromkeys(base, G), dict.fromkeys(base, H))
    files = [SideFiles(side) for side in sides]
    planned = plan_sync(base, *files, prefer=Side.GUEST, names=[b"a"])
    assert planned.host == SideChanges({b"a/x": H, b"a/y": H}, frozenset())
    assert [each.name for each in planned.conflicts] == [b"ab"]
