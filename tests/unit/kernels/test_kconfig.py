"""What a kernel lacks is said before it is used."""

from __future__ import annotations

import gzip

from hypothesis import given
from hypothesis import strategies as st

from banger.kernels.catalogue import Need, needs_of
from banger.kernels.kconfig import find_kconfig, parse_kconfig, plan_modules

NEEDS = (
    Need("TMPFS", None, "/run"),
    Need("VIRTIO_BLK", "virtio_blk", "disks"),
    Need("EXT4_FS", "ext4", "the data disk"),
    Need("IPV6", "ipv6", "networking", required=False),
)


def test_built_in_needs_no_module_and_what_lacks_is_named() -> None:
    options = parse_kconfig("# CONFIG_TMPFS is not set\nCONFIG_VIRTIO_BLK=m\nCONFIG_EXT4_FS=y\n")
    fit = plan_modules(NEEDS, options, has_module=lambda name: name == "virtio_blk")
    assert fit.modules == ["virtio_blk"]
    assert fit.lacking == ["CONFIG_TMPFS is not set (for /run)"]
    assert fit.missed == ["CONFIG_IPV6 is not set (for networking)"]


def test_a_module_that_the_package_does_not_hold_is_lacking() -> None:
    options = {"TMPFS": "y", "VIRTIO_BLK": "m", "EXT4_FS": "y", "IPV6": "m"}
    fit = plan_modules(NEEDS, options, has_module=lambda _: False)
    assert fit.modules == []
    assert fit.lacking == ["CONFIG_VIRTIO_BLK has no module virtio_blk (for disks)"]
    assert fit.missed == ["CONFIG_IPV6 has no module ipv6 (for networking)"]


def test_a_configuration_is_found_within_a_kernel() -> None:
    text = "CONFIG_TMPFS=y\n"
    carried = b"\0code IKCFG_ST" + gzip.compress(text.encode()) + b"IKCFG_ED more code"
    assert find_kconfig(carried) == text
    assert find_kconfig(b"IKCFG_ST\x1f\x8b broken IKCFG_ED") is None
    assert find_kconfig(b"no configuration") is None


def test_each_architecture_needs_its_console() -> None:
    assert "SERIAL_8250_CONSOLE" in {need.option for need in needs_of("x86_64")}
    assert "SERIAL_AMBA_PL011_CONSOLE" in {need.option for need in needs_of("aarch64")}


@given(st.text(max_size=400))
def test_any_text_parses(untrusted_text: str) -> None:
    assert set(parse_kconfig(untrusted_text).values()) <= {"y", "m"}
