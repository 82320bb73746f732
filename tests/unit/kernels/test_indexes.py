"""The tables that modprobe reads: read back by the format's definition."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from banger.kernels.indexes import build_index, render_tables
from banger.kernels.modules import Module, parse_module
from tests.unit.kernels.samples import elf


def read_index(content: bytes) -> dict[str, list[str]]:
    """Return what an index holds, as kmod's reader walks it."""
    magic, version, root = struct.unpack_from(">III", content)
    assert (magic, version) == (0xB007F457, 0x00020001)
    found: dict[str, list[str]] = {}

    def text(at: int) -> tuple[str, int]:
        end = content.index(b"\0", at)
        return content[at:end].decode("ascii"), end + 1

    def walk(node: int, key: str) -> None:
        at = node & 0x0FFFFFFF
        if node & 0x80000000:
            prefix, at = text(at)
            key += prefix
        if node & 0x20000000:
            first, last = content[at], content[at + 1]
            children = struct.unpack_from(f">{last - first + 1}I", content, at + 2)
            at += 2 + 4 * len(children)
            for char, child in enumerate(children, start=first):
                if child:
                    walk(child, key + chr(char))
        if node & 0x40000000:
            (count,) = struct.unpack_from(">I", content, at)
            at += 4
            for _ in range(count):
                value, at = text(at + 4)
                found.setdefault(key, []).append(value)

    walk(root, "")
    return found


WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@given(st.lists(st.tuples(WORDS, st.text("abc ./:", max_size=8)), max_size=60))
def test_what_is_put_in_comes_out(entries: list[tuple[str, str]]) -> None:
    wanted: dict[str, list[str]] = {}
    for key, value in entries:
        wanted.setdefault(key, []).append(value)
    assert read_index(build_index(entries)) == wanted


def make_tree() -> dict[str, bytes]:
    def module(name: str, *depends: str, aliases: tuple[str, ...] = ()) -> Module:
        return Module(name, depends, (), "6.1", aliases=aliases)

    modules = [
        module("slhc"),
        module("ppp_generic", "slhc", aliases=("char-major-108-0", "devname:ppp")),
        module("pppox", "ppp_generic"),
        module("pppoe", "pppox", "ppp_generic", aliases=("net-pf-24-proto-0", "usb:v[0-9]*")),
    ]
    return render_tables(
        {m.name: (f"kernel/drivers/{m.name.replace('_', '-')}.ko", m) for m in modules},
        builtin="kernel/fs/ext4/ext4.ko\nkernel/lib/crc-t.ko\n",
        builtin_modinfo=b"ext4.alias=fs-ext4\0ext4.license=GPL\0ext4.alias=bad alias\0",
    )


def test_what_must_be_loaded_first_stands_last() -> None:
    """modprobe loads a line from its end on."""
    tables = make_tree()
    path = "kernel/drivers"
    line = f"{path}/pppoe.ko: {path}/pppox.ko {path}/ppp-generic.ko {path}/slhc.ko"
    assert line in tables["modules.dep"].decode().splitlines()
    assert read_index(tables["modules.dep.bin"])["pppoe"] == [line]
    assert read_index(tables["modules.dep.bin"])["slhc"] == [f"{path}/slhc.ko:"]


def test_aliases_devices_and_what_is_built_in() -> None:
    tables = make_tree()
    aliases = read_index(tables["modules.alias.bin"])
    assert aliases["net_pf_24_proto_0"] == ["pppoe"]
    assert aliases["usb:v[0-9]*"] == ["pppoe"]  # a range keeps its hyphen
    assert b"alias net-pf-24-proto-0 pppoe\n" in tables["modules.alias"]
    assert tables["modules.devname"] == b"ppp_generic ppp c108:0\n"
    assert read_index(tables["modules.builtin.bin"]) == {"ext4": [""], "crc_t": [""]}
    assert read_index(tables["modules.builtin.alias.bin"]) == {"fs_ext4": ["ext4"]}
    assert read_index(tables["modules.symbols.bin"]) == {}


def test_what_would_break_a_line_is_no_alias() -> None:
    """F1: a module's own words stand in tables of text."""
    lines = ("alias=good", "alias=two words", "alias=\x1b[2J", "alias=a\nb", "softdep=pre: x\ny")
    info = "\0".join(lines).encode() + b"\0"
    parsed = parse_module(elf({".modinfo": info}), name="x")
    assert (parsed.aliases, parsed.softdeps) == (("good",), ("pre: x y",))
