"""The initramfs: what cpio reads out of it, and that equal inputs give equal bytes."""

from __future__ import annotations

import stat

from banger.kernels.initramfs import build_initramfs


def read_cpio(archive: bytes) -> dict[str, tuple[int, bytes, tuple[int, int], int]]:
    """Parse a newc archive by the kernel's description: name to mode, content, device, mtime."""
    found: dict[str, tuple[int, bytes, tuple[int, int], int]] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        _, mode, uid, gid, _, mtime, size, _, _, major, minor, name_size, _ = fields
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        start = (at + 110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            return found
        assert (uid, gid) == (0, 0)
        found[name] = (mode, archive[start : start + size], (major, minor), mtime)
        at = (start + size + 3) & ~3


MODULES = {"virtio.ko": b"\x7fELF virtio", "ext.ko": b"\x7fELF ext"}


def test_the_archive_holds_what_the_agent_expects() -> None:
    archive = build_initramfs(b"the agent", modules=MODULES, order=["virtio.ko", "ext.ko"])
    files = read_cpio(archive)
    assert files["init"] == (stat.S_IFREG | 0o755, b"the agent", (0, 0), 0)
    assert files["dev/console"] == (stat.S_IFCHR | 0o600, b"", (5, 1), 0)
    assert files["modules/order"][1] == b"virtio.ko\next.ko\n"
    assert files["modules/ext.ko"][1] == b"\x7fELF ext"
    for name in ("dev", "proc", "sys", "newroot", "run", "tmp", "modules"):
        assert files[name][0] == stat.S_IFDIR | 0o755
    names = list(files)
    assert all(names.index(n.rpartition("/")[0]) < names.index(n) for n in names if "/" in n)


def test_equal_inputs_give_equal_bytes_and_the_agent_counts() -> None:
    order = ["virtio.ko", "ext.ko"]
    first = build_initramfs(b"agent", modules=MODULES, order=order)
    assert build_initramfs(b"agent", modules=dict(reversed(MODULES.items())), order=order) == first
    assert build_initramfs(b"Agent", modules=MODULES, order=order) != first
    assert build_initramfs(b"agent", modules=MODULES, order=order[::-1]) != first
