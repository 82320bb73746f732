"""Modules: reading what they say of themselves, and the load order."""

from __future__ import annotations

import gzip
import lzma

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from banger.kernels.modules import (
    MODULE_BYTES_MAX,
    BadModule,
    Module,
    map_aliases,
    order_modules,
    parse_module,
    unpack_module,
)
from tests.unit.kernels.samples import elf, module


def test_modinfo_is_read() -> None:
    sample = module("virtio,virtio-ring", softdep="pre: crc32c  other post: late")
    parsed = parse_module(sample, name="virtio-rng")
    assert parsed == Module(
        name="virtio_rng",
        depends=("virtio", "virtio_ring"),
        soft_depends=("crc32c", "other"),
        vermagic="6.1.0-test SMP",
    )


@pytest.mark.parametrize("untrusted_file", [b"", b"no elf at all", elf({".text": b"x"})])
def test_what_is_no_module_is_refused(untrusted_file: bytes) -> None:
    with pytest.raises(BadModule, match="virtio"):
        parse_module(untrusted_file, name="virtio")


def test_compressed_modules_are_unpacked() -> None:
    plain = module("virtio")
    assert unpack_module("a.ko", plain) == plain
    assert unpack_module("a.ko.xz", lzma.compress(plain)) == plain
    assert unpack_module("a.ko.gz", gzip.compress(plain)) == plain
    assert unpack_module("a.ko.zst", zstandard.compress(plain)) == plain


@pytest.mark.parametrize(
    ("name", "untrusted_file"),
    [
        ("a.ko.xz", b"not xz"),
        ("a.ko.xz", lzma.compress(b"x" * 1000)[:-20]),
        ("a.ko.zst", b"not zstd"),
        ("a.ko.xz", lzma.compress(bytes(MODULE_BYTES_MAX + 1), preset=0)),
        ("a.ko.zst", zstandard.compress(bytes(MODULE_BYTES_MAX + 1))),
    ],
)
def test_broken_and_endless_modules_are_refused(name: str, untrusted_file: bytes) -> None:
    with pytest.raises(BadModule):
        unpack_module(name, untrusted_file)


def named(graph: dict[str, list[str]], *, soft: bool = False) -> dict[str, Module]:
    return {
        name: Module(name, () if soft else tuple(deps), tuple(deps) if soft else (), "")
        for name, deps in graph.items()
    }


def test_a_module_comes_after_what_it_needs_and_only_once() -> None:
    known = named({"net": ["virtio", "failover"], "virtio": ["ring"], "ring": [], "failover": []})
    order, missing = order_modules(["virtio", "net"], find=known.get)
    assert [m.name for m in order] == ["ring", "virtio", "failover", "net"]
    assert missing == []


def test_missing_modules_are_named_but_soft_dependencies_are_not_missed() -> None:
    order, missing = order_modules(["a"], find=named({"a": ["b"]}).get)
    assert ([m.name for m in order], missing) == (["a"], ["b"])
    order, missing = order_modules(["a"], find=named({"a": ["b"]}, soft=True).get)
    assert ([m.name for m in order], missing) == (["a"], [])


def test_a_soft_dependency_may_be_an_alias() -> None:
    """ext4 asks for `crc32c`, and cannot mount a disk without one of the modules that go by it."""
    known = {
        "ext4": Module("ext4", ("jbd2",), ("crc32c",), ""),
        "jbd2": Module("jbd2", (), (), ""),
        "crc32c_generic": Module("crc32c_generic", (), (), "", aliases=("crc32c", "crypto-crc32c")),
        "crc32c_intel": Module("crc32c_intel", (), (), "", aliases=("crc32c", "cpu:type:x86,*")),
    }
    aliases = map_aliases(known.values())
    order, missing = order_modules(["ext4"], find=known.get, aliases=aliases)
    assert [m.name for m in order] == ["crc32c_generic", "crc32c_intel", "jbd2", "ext4"]
    assert missing == []


@given(
    st.dictionaries(
        st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=4), max_size=8
    )
)
def test_any_graph_ends_and_without_cycles_the_order_holds(graph: dict[str, list[str]]) -> None:
    known = named(graph)
    order, missing = order_modules(sorted(graph), find=known.get)
    names = [m.name for m in order]
    assert sorted(names) == sorted(graph)
    assert set(missing) == {d for deps in graph.values() for d in deps} - set(graph)
    acyclic = {n: [d for d in deps if d > n] for n, deps in graph.items()}
    names = [m.name for m in order_modules(sorted(graph), find=named(acyclic).get)[0]]
    for name, deps in acyclic.items():
        assert all(names.index(d) < names.index(name) for d in deps if d in names)
