"""F1: kernels in packages and tars; whole, or refused, and never more than a bound unpacked."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.errors import InvalidRequest, KernelUnfit
from banger.kernels import archives
from banger.kernels.archives import take_archive
from banger.kernels.package import Package
from tests.unit.kernels.samples import deb, kernel, module, tar

BOOT = {"./boot/vmlinuz-6.1.0-test": b"the kernel", "./boot/config-6.1.0-test": b"CONFIG_X=y\n"}
FILES = BOOT | {"./usr/lib/modules/6.1.0-test/kernel/fs/x.ko": module()}
MAGICS = (b"!<arch>\n", b"\xfd7zXZ\0", b"\x1f\x8b", b"BZh9", b"\x28\xb5\x2f\xfd", b"")
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def take(tmp_path: Path, content: bytes) -> Package | None:
    path = tmp_path / "archive"
    path.write_bytes(content)
    tree = tmp_path / "tree"
    tree.mkdir(exist_ok=True)
    return take_archive(path, tree, what="the archive")


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("is_package", [True, False])
def test_packages_and_tars_of_every_compression(
    tmp_path: Path, ending: str, is_package: bool
) -> None:
    packed = PACKERS[ending](tar(FILES))
    package = take(tmp_path, deb(packed, ending) if is_package else packed)
    assert package is not None
    assert (package.kernel, package.config) == (b"the kernel", "CONFIG_X=y\n")
    assert {name: path.read_bytes() for name, path in package.modules.items()} == {"x": module()}


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF", kernel(), gzip.compress(b"an Image", mtime=0), bytes(600)]
)
def test_what_is_no_archive_is_left_to_others(tmp_path: Path, content: bytes) -> None:
    assert take(tmp_path, content) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"!<arch>\n", "not a complete Debian package"),
        (b"!<arch>\n" + b"x" * 60, "not a complete Debian package"),
        (deb(b"", ".xz").replace(b"data.tar", b"date.tar"), "not a complete Debian package"),
        (deb(lzma.compress(tar(FILES))[:-40], ".xz"), "cannot be unpacked|cannot be read"),
        (lzma.compress(tar(FILES))[:200], "cannot be unpacked|cannot be read"),
        (b"\xfd7zXZ\0" + bytes(100), "cannot be unpacked"),
        (b"BZh9" + bytes(100), "cannot be unpacked"),
        (deb(b"BZh9" + bytes(100), ".bz2"), "cannot be unpacked"),
        (b"\x1f\x8b" + bytes(100), "cannot be unpacked"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 100, "cannot be unpacked"),
        (tar(BOOT)[:700], "cannot be read"),
        (tar({"./boot/config-6.1.0-test": b""}), "no kernel in the archive"),
        (tar(FILES | {"./boot/vmlinuz-6.2": b""}), "two kernels"),
    ],
)
def test_what_is_broken_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(KernelUnfit, match=words):
        take(tmp_path, content)


def test_a_bomb_ends_at_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F1: whatever the archive holds that we do not want, it is unpacked to a bound only."""
    monkeypatch.setattr(archives, "UNPACKED_BYTES_MAX", 2_000_000)
    bomb = lzma.compress(tar({"bomb": bytes(3_000_000), **FILES}))
    with pytest.raises(KernelUnfit, match="holds more than 2000000 bytes"):
        take(tmp_path, deb(bomb, ".xz"))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="No such file"):
        take_archive(tmp_path / "gone", tmp_path, what="it")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(MAGICS))
def test_any_bytes_give_a_package_nothing_or_our_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, magic: bytes
) -> None:
    with contextlib.suppress(KernelUnfit):
        take(tmp_path_factory.mktemp("any"), magic + content)
