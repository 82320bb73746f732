"""The plan of an apply against a model: trees are dictionaries, and a plan changes one of them."""

from __future__ import annotations

import stat
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from banger.workspace.hostfiles import new_mode
from banger.workspace.merging import ApplyPlan, HostFiles, plan_apply
from banger.workspace.names import parents
from banger.workspace.trees import TreeEntry

NAMES = [b"a", b"b", b"a/x", b"a/y", b"a/x/deep", b"b/x", b"A", b"c"]
MODES = [0o100644, 0o100755, 0o120000]
Tree = dict[bytes, TreeEntry]


def is_valid(tree: Mapping[bytes, TreeEntry]) -> bool:
    """Tell whether no file lies below another, so that a file system can hold the tree."""
    return all(tree.keys().isdisjoint(parents(name)) for name in tree)


ENTRIES = st.builds(TreeEntry, st.sampled_from(MODES), st.sampled_from(["0", "1", "2"]))
TREES = st.dictionaries(st.sampled_from(NAMES), ENTRIES, max_size=5).filter(is_valid)


def plan(base: Tree, host: Tree, guest: Tree) -> ApplyPlan:
    changed = {name: entry for name, entry in guest.items() if base.get(name) != entry}
    removed = base.keys() - guest.keys()
    return plan_apply(base, changed, removed, look_at(host, {*changed, *removed}))


def look_at(host: Tree, names: set[bytes]) -> HostFiles:
    """Return what a look at these names of the host's tree finds."""
    around = {*names, *(above for name in names for above in parents(name))}
    below = {
        name: frozenset(each for each in host if each.startswith(name + b"/")) for name in names
    }
    return HostFiles(
        {name: host[name] for name in around if name in host},
        below={name: found for name, found in below.items() if found},
    )


def carry_out(planned: ApplyPlan, host: Tree) -> Tree:
    """Return the host's tree after a plan; a merged file keeps the host's side here."""
    made = {name: entry for name, entry in host.items() if name not in planned.remove}
    return made | planned.write


@given(TREES, TREES, TREES)
def test_nothing_of_the_hosts_own_is_lost(base: Tree, host: Tree, guest: Tree) -> None:
    planned = plan(base, host, guest)
    made = carry_out(planned, host)
    assert is_valid(made)
    for name in base.keys() | host.keys():
        if base.get(name) != host.get(name):
            assert made.get(name) == host.get(name)


@given(TREES, TREES, TREES)
def test_every_change_of_the_guest_is_there_or_named(base: Tree, host: Tree, guest: Tree) -> None:
    planned = plan(base, host, guest)
    made = carry_out(planned, host)
    named = {each.name for each in planned.conflicts} | {each.name for each in planned.merge}
    for name in base.keys() | host.keys() | guest.keys():
        if base.get(name) == guest.get(name):
            assert made.get(name) == host.get(name)
        elif name not in named:
            assert made.get(name) == guest.get(name)


@given(TREES, TREES)
def test_a_host_as_it_was_copied_becomes_the_guests(base: Tree, guest: Tree) -> None:
    planned = plan(base, base, guest)
    assert not planned.conflicts and not planned.merge
    assert carry_out(planned, base) == guest


@given(TREES, TREES, TREES)
def test_a_second_time_there_is_nothing_to_do(base: Tree, host: Tree, guest: Tree) -> None:
    planned = plan(base, host, guest)
    again = plan(base, carry_out(planned, host), guest)
    assert not again.write and not again.remove
    assert {each.name for each in again.conflicts} == {each.name for each in planned.conflicts}


@given(TREES, TREES)
def test_what_both_sides_did_is_no_conflict(base: Tree, made: Tree) -> None:
    planned = plan(base, made, made)
    assert not (planned.write or planned.remove or planned.merge or planned.conflicts)


def test_submodules_are_left_alone() -> None:
    link, moved = TreeEntry(0o160000, "0"), TreeEntry(0o160000, "1")
    planned = plan({b"a": link, b"b": link}, {}, {b"a": moved})
    assert planned.submodules == (b"a", b"b")
    assert not planned.write and not planned.remove and not planned.conflicts


def test_modes_stay_as_private_as_they_were() -> None:
    wanted = [(0o600, 0o100755), (0o640, 0o100755), (0o755, 0o100644), (0o444, 0o100644)]
    made = [new_mode(stat.S_IFREG | old, new) for old, new in wanted]
    assert made == [0o700, 0o750, 0o644, 0o444]
    assert new_mode(None, 0o100755) == new_mode(stat.S_IFLNK | 0o777, 0o100755) == 0o755
