"""F1, F2 for kernels: only entries of an exact shape leave the package's tar."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import os
import tarfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.errors import InvalidRequest, KernelUnfit
from banger.kernels.package import Package, take_module_tree, take_package

GOOD: dict[str, bytes] = {
    "./boot/vmlinuz-6.1.0-test": b"the kernel",
    "./boot/config-6.1.0-test": b"CONFIG_TMPFS=y\n",
    "./lib/modules/6.1.0-test/modules.builtin": b"kernel/fs/ext4/ext4.ko\nkernel/lib/crc-t.ko\n",
    "./lib/modules/6.1.0-test/kernel/drivers/char/virtio-rng.ko": b"a module",
    "./usr/lib/modules/6.1.0-test/kernel/fs/x.ko.xz": lzma.compress(b"unpacked"),
}


def make_tar(files: dict[str, bytes], *links: tuple[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def take(archive: bytes, directory: Path) -> Package:
    """Give the bytes through a pipe, as mmdebstrap does."""
    source, sink = os.pipe()

    def write() -> None:
        with open(sink, "wb") as file:
            with contextlib.suppress(BrokenPipeError):
                file.write(archive)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return take_package(source, directory)
    finally:
        os.close(source)
        writer.join()


def test_the_parts_are_found(tmp_path: Path) -> None:
    package = take(make_tar(GOOD), tmp_path)
    assert (package.version, package.kernel) == ("6.1.0-test", b"the kernel")
    assert package.builtin == {"ext4", "crc_t"}
    assert {n: p.read_bytes() for n, p in package.modules.items()} == {
        "virtio_rng": b"a module",
        "x": b"unpacked",
    }
    assert package.modules["x"] == tmp_path / "kernel/fs/x.ko"
    assert set(package.lists) == {"modules.builtin"}


def test_names_of_other_shapes_leave_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "inside" / "deep"
    directory.mkdir(parents=True)
    hostile = {
        "./lib/modules/6.1.0-test/kernel/../../../../../escape.ko": b"x",
        "../escape.ko": b"x",
        "/lib/modules/6.1.0-test/kernel/a/absolute.ko": b"x",
        "./lib/modules/6.1.0-test/kernel/a/..ko": b"x",
        "./lib/modules/6.1.0-test/kernel/a/\x1b[2Jx.ko": b"x",
        "./lib/modules/6.1.0-test/kernel/./dot.ko": b"x",
        "./etc/passwd": b"x",
    }
    links = ("./lib/modules/6.1.0-test/kernel/a/link.ko", "/etc/passwd")
    package = take(make_tar(GOOD | hostile, links), directory)
    written = {str(p.relative_to(directory)) for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {"kernel/drivers/char/virtio-rng.ko", "kernel/fs/x.ko"}
    assert "link" not in package.modules


@pytest.mark.parametrize("missing", ["vmlinuz", "config", ".ko"])
def test_a_package_without_a_part_is_refused(tmp_path: Path, missing: str) -> None:
    with pytest.raises(KernelUnfit, match="contains no"):
        take(make_tar({n: c for n, c in GOOD.items() if missing not in n}), tmp_path)


def test_two_kernels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KernelUnfit, match="two kernels"):
        take(make_tar({**GOOD, "./boot/vmlinuz-6.1.0-other": b"x"}), tmp_path)


def test_a_users_tree_is_taken_with_what_overrides_it(tmp_path: Path) -> None:
    """F1: links and odd names are left out; a module below `updates` comes first, as for depmod."""
    source, tree = tmp_path / "modules", tmp_path / "tree"
    tree.mkdir()
    for name, content in {
        "kernel/net/tun.ko": b"old",
        "updates/dkms/tun.ko.gz": gzip.compress(b"new"),
        "kernel/net/veth.ko": b"veth",
        "kernel/net/od d.ko": b"odd",
        "modules.builtin": b"kernel/fs/ext4/ext4.ko\n",
        "build/main.c": b"int main;",
    }.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    (source / "kernel/net/link.ko").symlink_to("/etc/passwd")
    package = Package(tree=tree)
    take_module_tree(package, source)
    assert {n: p.read_bytes() for n, p in package.modules.items()} == {
        "tun": b"new",
        "veth": b"veth",
    }
    written = {str(p.relative_to(tree)) for p in tree.rglob("*") if p.is_file()}
    assert written == {"updates/dkms/tun.ko", "kernel/net/veth.ko"}
    assert package.builtin == {"ext4"}


def test_a_tree_that_holds_nothing_or_a_bomb_is_refused(tmp_path: Path) -> None:
    source, tree = tmp_path / "modules", tmp_path / "tree"
    (source / "kernel").mkdir(parents=True)
    with pytest.raises(KernelUnfit, match="no modules below"):
        take_module_tree(Package(tree=tree, version="6.1"), source)
    (source / "kernel/x.ko.xz").write_bytes(b"no xz")
    with pytest.raises(KernelUnfit, match="does not decompress"):
        take_module_tree(Package(tree=tree), source)
    (source / "kernel/x.ko.xz").chmod(0)
    with pytest.raises(InvalidRequest, match="Permission denied"):
        take_module_tree(Package(tree=tree), source)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(cut=st.integers(0, 1 << 14), at=st.integers(0, 1 << 14), value=st.integers(0, 255))
def test_cut_and_altered_archives_are_refused_or_read(
    tmp_path: Path, cut: int, at: int, value: int
) -> None:
    archive = bytearray(make_tar(GOOD))
    archive[at % len(archive)] = value
    with contextlib.suppress(KernelUnfit):
        take(bytes(archive[: cut % len(archive)]), tmp_path)
