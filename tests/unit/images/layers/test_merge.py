"""The rules of the OCI image specification, one by one (F1, F2).

What is expected here is what `umoci unpack` makes of the same layers as root, unless a test
says otherwise.
"""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path

import pytest

from banger.errors import ImageInvalid
from tests.support.tars import Member, directory, hard_link, make_tar, symlink
from tests.unit.images.layers.merging import contents, merge, merge_result, names, read

CAPABILITY = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\xff\x00\x00\x00\x0a\x00\x00\x00"


def test_everything_of_an_entry_is_kept(tmp_path: Path) -> None:
    """F2: owners, setuid, devices, attributes, long and raw names, as they were."""
    deep = b"/".join([b"d" * 200] * 3) + b"/" + b"\xff\xfename\nwith a line"
    members = (
        directory("d", 0o1777, uid=3_000_000_000, gid=7, mtime=5),
        Member("d/su", b"program", mode=0o6755, uid=1, gid=2, mtime=4_000_000_000),
        Member("d/ping", b"x", xattrs={"security.capability": CAPABILITY, "user.n": b"\0\n="}),
        Member(deep, b"deep"),
        symlink("d/link", b"t" * 300),
        Member("d/null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666),
        Member("d/loop", kind=tarfile.BLKTYPE, device=(7, 300)),
        Member("d/fifo", kind=tarfile.FIFOTYPE),
    )
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        merged = merge(tmp_path, make_tar(*members, form=form))
        found = read(merged)
        top = found[b"d"]
        assert (top.mode, top.uid, top.gid, top.mtime) == (0o1777, 3_000_000_000, 7, 5)
        program = found[b"d/su"]
        assert (program.mode, program.uid, program.gid) == (0o6755, 1, 2)
        assert (program.mtime, program.size) == (4_000_000_000, 7)
        assert contents(merged)[deep] == b"deep"
        assert found[b"d/link"].linkname == "t" * 300
        assert (found[b"d/null"].type, found[b"d/null"].devmajor) == (tarfile.CHRTYPE, 1)
        assert (found[b"d/loop"].devmajor, found[b"d/loop"].devminor) == (7, 300)
        assert found[b"d/fifo"].isfifo()
    pax = read(merge(tmp_path, make_tar(*members)))[b"d/ping"].pax_headers
    assert {k: v.encode("utf-8", "surrogateescape") for k, v in pax.items()} == {
        "SCHILY.xattr.security.capability": CAPABILITY,
        "SCHILY.xattr.user.n": b"\0\n=",
    }


def test_the_root_directory_has_the_topmost_attributes(tmp_path: Path) -> None:
    lower = make_tar(directory("./", 0o700, uid=1, gid=1), Member("a", uid=5, gid=5))
    upper = make_tar(directory("./", 0o750, uid=5, gid=5, mtime=77))
    merged, result = merge_result(tmp_path, lower, upper)
    assert (result.mode, result.uid, result.gid, result.mtime) == (0o750, 5, 5, 77)
    assert sorted(read(merged)) == [b"a"]


def test_an_owner_that_only_the_root_directory_has_is_carried_by_a_mount_point(
    tmp_path: Path,
) -> None:
    """The root's inode can only have an owner that is in the squashfs."""
    merged = merge(tmp_path, make_tar(Member("app", b"x", uid=65532, gid=65532)))
    assert (read(merged)[b"proc"].uid, read(merged)[b"proc"].gid) == (0, 0)


def test_whiteouts_hide_lower_layers_only(tmp_path: Path) -> None:
    """F1: whatever their place in the tar; they never reach the root."""
    lower = make_tar(Member("a", b"1"), Member("b", b"1"), Member("d/x", b"1"), Member("d/y", b"1"))
    for order in (1, -1):
        entries = [Member(".wh.a"), Member("a", b"2"), Member(".wh.b"), Member("d/.wh.x")]
        upper = make_tar(*entries[::order])
        assert contents(merge(tmp_path, lower, upper)) == {b"a": b"2", b"d/y": b"1"}


def test_a_whiteout_of_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    merged = merge(tmp_path, make_tar(Member("a")), make_tar(Member("no/such/.wh.b")))
    assert names(merged) == [b"a"]


def test_opaque_directories_hide_lower_layers_only(tmp_path: Path) -> None:
    lower = make_tar(directory("d", 0o711), Member("d/x", b"1"), Member("d/deep/y", b"1"))
    for order in (1, -1):
        entries = [Member("d/.wh..wh..opq"), Member("d/z", b"2"), Member("d/deep/w", b"2")]
        merged = merge(tmp_path, lower, make_tar(*entries[::order]))
        assert contents(merged) == {b"d/z": b"2", b"d/deep/w": b"2"}
        assert read(merged)[b"d"].mode == 0o711


def test_an_opaque_root_hides_all(tmp_path: Path) -> None:
    lower = make_tar(Member("a"), Member("d/b"))
    upper = make_tar(Member(".wh..wh..opq"), Member("c"))
    assert names(merge(tmp_path, lower, upper)) == [b"c"]


def test_a_directory_in_place_of_a_link_hides_nothing_of_where_the_link_led(
    tmp_path: Path,
) -> None:
    """F1: an overlay writes such a directory as opaque."""
    lower = make_tar(Member("real/x", b"1"), symlink("d", "real"))
    for order in (1, -1):
        entries = [directory("d"), Member("d/.wh..wh..opq"), Member("d/.wh.x"), Member("d/y", b"2")]
        if order < 0:
            entries = [entries[1], entries[2], entries[0], entries[3]]
        merged = merge(tmp_path, lower, make_tar(*entries))
        assert contents(merged) == {b"real/x": b"1", b"d/y": b"2"}


def test_directory_to_file_and_back(tmp_path: Path) -> None:
    lower = make_tar(directory("d", 0o700), Member("d/x", b"1"), Member("f", b"1"))
    middle = make_tar(Member("d", b"2"), directory("f", 0o711), Member("f/in", b"2"))
    merged = merge(tmp_path, lower, middle)
    assert contents(merged) == {b"d": b"2", b"f/in": b"2"}
    upper = make_tar(directory("d", 0o755), Member("d/y", b"3"), Member("f", b"3"))
    merged = merge(tmp_path, lower, middle, upper)
    assert contents(merged) == {b"d/y": b"3", b"f": b"3"}
    assert read(merged)[b"d"].mode == 0o755


def test_of_duplicate_entries_the_last_wins(tmp_path: Path) -> None:
    layer = make_tar(
        Member("a", b"first"),
        directory("d", 0o700),
        Member("d/x", b"1"),
        Member("a", b"second", mode=0o600),
        directory("d", 0o711),
        Member("./a", b"third", mode=0o640),
    )
    merged = merge(tmp_path, layer)
    assert contents(merged) == {b"a": b"third", b"d/x": b"1"}
    assert (read(merged)[b"a"].mode, read(merged)[b"d"].mode) == (0o640, 0o711)


def test_directories_have_the_attributes_of_the_topmost_layer_that_has_them(tmp_path: Path) -> None:
    lower = make_tar(directory("d", 0o700, uid=1, mtime=5), Member("d/x", b"1"))
    upper = make_tar(Member("d/y", b"2"))
    assert read(merge(tmp_path, lower, upper))[b"d"].mode == 0o700
    attributed = make_tar(directory("d", 0o711, uid=2, mtime=6))
    top = read(merge(tmp_path, lower, upper, attributed))[b"d"]
    assert (top.mode, top.uid, top.mtime) == (0o711, 2, 6)


def test_implied_parents_belong_to_root_and_have_the_time_of_what_needed_them(
    tmp_path: Path,
) -> None:
    found = read(merge(tmp_path, make_tar(Member("a/b/c", b"1", uid=9, gid=9, mtime=44))))
    assert [(found[n].mode, found[n].uid, found[n].mtime) for n in (b"a", b"a/b")] == [
        (0o755, 0, 44)
    ] * 2


def test_hard_links_share_one_file_also_across_layers(tmp_path: Path) -> None:
    """A link's own attributes do not count."""
    lower = make_tar(
        Member("d/a", b"content", mode=0o4755, uid=7), hard_link("d/b", "d/a"), symlink("s", "d/a")
    )
    upper = make_tar(hard_link("c", "./d/b"), hard_link("t", "s"))
    merged = merge(tmp_path, lower, upper)
    assert set(contents(merged).values()) == {b"content"}
    found = read(merged)
    (first,) = [name for name in (b"d/a", b"d/b", b"c") if found[name].isreg()]
    links = {name: found[name].linkname for name in (b"d/a", b"d/b", b"c") if name != first}
    assert set(links.values()) == {first.decode()}
    assert (found[first].mode, found[first].uid) == (0o4755, 7)
    assert sorted(found[n].type for n in (b"s", b"t")) == [tarfile.LNKTYPE, tarfile.SYMTYPE]


def test_a_hard_link_may_name_what_its_layer_hides(tmp_path: Path) -> None:
    """F1: the file lives on under the new name; of an earlier layer's whiteout it is gone."""
    lower = make_tar(Member("d/a", b"content"))
    for order in (1, -1):
        for whiteout in ("d/.wh.a", ".wh.d", "d/.wh..wh..opq"):
            upper = make_tar(*[Member(whiteout), hard_link("b", "d/a")][::order])
            assert contents(merge(tmp_path, lower, upper)) == {b"b": b"content"}
    hidden = make_tar(Member("d/.wh.a"))
    with pytest.raises(ImageInvalid, match="which is nothing"):
        merge(tmp_path, lower, hidden, make_tar(hard_link("b", "d/a")))


def test_a_replaced_file_leaves_its_other_names_alone(tmp_path: Path) -> None:
    lower = make_tar(Member("a", b"1"), hard_link("b", "a"))
    merged = merge(tmp_path, lower, make_tar(Member("a", b"2")))
    assert contents(merged) == {b"a": b"2", b"b": b"1"}


def test_parents_that_are_links_are_followed_inside_the_root(tmp_path: Path) -> None:
    """F1: links that would escape lead to the same place below the root, as in a chroot."""
    lower = make_tar(
        symlink("lib", "usr/lib"),
        Member("usr/lib/x", b"1"),
        symlink("out", "../../../etc"),
        symlink("abs", "/etc"),
        symlink("hop", "out"),
    )
    upper = make_tar(
        Member("lib/y", b"2"), Member("out/a", b"2"), Member("abs/b", b"2"), Member("hop/c", b"2")
    )
    merged = merge(tmp_path, lower, upper)
    expected = {b"usr/lib/x": b"1", b"usr/lib/y": b"2"}
    expected |= {b"etc/a": b"2", b"etc/b": b"2", b"etc/c": b"2"}
    assert contents(merged) == expected
    assert read(merged)[b"lib"].issym()
    hidden = merge(tmp_path, lower, upper, make_tar(Member("lib/.wh.x"), Member("out/.wh.a")))
    assert set(contents(hidden)) == set(expected) - {b"usr/lib/x", b"etc/a"}


def test_a_link_is_replaced_and_not_followed_by_what_has_its_name(tmp_path: Path) -> None:
    lower = make_tar(symlink("a", "b"), Member("b", b"1"), symlink("d", "real"), Member("real/x"))
    merged = merge(tmp_path, lower, make_tar(Member("a", b"2"), directory("d", 0o700)))
    assert contents(merged) == {b"a": b"2", b"b": b"1", b"real/x": b""}
    assert read(merged)[b"d"].isdir()


def test_the_leavings_of_aufs_mean_nothing(tmp_path: Path) -> None:
    layer = make_tar(directory(".wh..wh.plnk"), Member(".wh..wh.plnk/1"), Member(".wh..wh.aufs"))
    assert names(merge(tmp_path, make_tar(Member("a")), layer)) == [b"a"]


def test_the_working_directory_is_made(tmp_path: Path) -> None:
    layer = make_tar(symlink("srv", "/data"), Member("etc/file"))
    merged = merge(tmp_path, layer, workdir="/srv/app")
    assert read(merged)[b"data/app"].isdir()
    assert names(merge(tmp_path, layer, workdir="/etc/file")) == [b"etc", b"etc/file", b"srv"]


def test_systemd_is_an_init_and_busybox_is_none(tmp_path: Path) -> None:
    systemd = (Member("usr/lib/systemd/systemd", mode=0o755), symlink("lib", "usr/lib"))
    for entries, init in (
        ((*systemd, symlink("sbin/init", "../lib/systemd/systemd")), "/sbin/init"),
        ((*systemd, symlink("usr/sbin/init", "/lib/systemd/systemd"), symlink("sbin", "usr/sbin")),
         "/sbin/init"),
        (systemd, None),
        ((Member("bin/busybox"), symlink("sbin/init", "/bin/busybox")), None),
        ((symlink("sbin/init", "init"),), None),
        ((symlink("sbin/init", "/usr"), directory("usr")), None),
    ):  # fmt: skip
        assert merge_result(tmp_path, make_tar(*entries))[1].init == init


def test_a_layer_without_anything_is_one(tmp_path: Path) -> None:
    assert names(merge(tmp_path, make_tar(), b"", make_tar(Member("a")))) == [b"a"]


def test_modes_hold_nothing_but_permissions(tmp_path: Path) -> None:
    merged = merge(tmp_path, make_tar(Member("a", mode=stat.S_IFDIR | 0o644)))
    assert read(merged)[b"a"].mode == 0o644


def test_a_long_name_ends_at_its_nul(tmp_path: Path) -> None:
    """F1: GNU's long names are texts of C: what is behind the NUL is no part of another name."""
    name = b"x" * 110
    upper = make_tar(Member("x" * 150, b"2"), form=tarfile.GNU_FORMAT)
    upper = upper.replace(b"x" * 150 + b"\0", name + b"\0" + b"y" * 40)
    merged = merge(tmp_path, make_tar(Member(name, b"1")), upper)
    assert contents(merged)[name] == b"2"
    assert names(merged) == [name]
