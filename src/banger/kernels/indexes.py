"""The tables that modprobe looks modules up in, made from what the modules say. Pure.

What depmod makes, so that no host needs it: text for busybox's modprobe, and the index files that
kmod reads (kmod, libkmod/libkmod-index.c and depmod.8). An index is a trie in big-endian words:

    magic version root          root and children: offset of a node with its kind in the high bits
    [prefix NUL]                the characters that all keys below this node go on with
    [first last child...]       a child for each next character from first to last, or 0
    [count (priority value NUL)...]   the values of the key that ends here

`modules.symbols.bin` is there, and empty: kmod gives up all indexes if one is missing, and nothing
asks for a module by a symbol's name but a few old television drivers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from banger.kernels.modules import Module, canonical, is_word, order_modules

MAGIC = 0xB007F457
VERSION = 0x00020001
HAS_PREFIX, HAS_VALUES, HAS_CHILDREN = 0x80000000, 0x40000000, 0x20000000
DEVICE_MAJORS = {"char-major-": "c", "block-major-": "b"}
_U32 = struct.Struct(">I")

Entry = tuple[str, str]
"""Key and value."""


def render_tables(
    modules: Mapping[str, tuple[str, Module]], *, builtin: str, builtin_modinfo: bytes
) -> dict[str, bytes]:
    """Return the files of a module tree's root by name.

    `modules` maps a canonical name to the file's path in the tree and what the module says;
    `builtin` and `builtin_modinfo` are the kernel's own lists of what is built in.
    """
    depends = {name: _depends_line(name, modules) for name in sorted(modules)}
    aliases = [
        (alias, name)
        for name in sorted(modules)
        for alias in dict.fromkeys(modules[name][1].aliases)
    ]
    names = [canonical(line.rsplit("/", 1)[-1].split(".ko", 1)[0]) for line in builtin.split()]
    return {
        "modules.dep": _lines(depends.values()),
        "modules.dep.bin": build_index(depends.items()),
        "modules.alias": _lines(f"alias {alias} {name}" for alias, name in aliases),
        "modules.alias.bin": build_index((_normal(alias), name) for alias, name in aliases),
        "modules.softdep": _lines(
            f"softdep {name} {text}"
            for name in sorted(modules)
            for text in modules[name][1].softdeps
        ),
        "modules.devname": _lines(_devices(modules)),
        "modules.builtin.bin": build_index((name, "") for name in names if is_word(name)),
        "modules.builtin.alias.bin": build_index(_builtin_aliases(builtin_modinfo)),
        "modules.symbols.bin": build_index(()),
    }


def _depends_line(name: str, modules: Mapping[str, tuple[str, Module]]) -> str:
    """Return `path: paths`, what must be loaded first at the end."""

    def find(wanted: str) -> Module | None:
        found = modules.get(wanted)
        return _hard_only(found[1]) if found else None

    order, _ = order_modules([name], find=find)
    paths = [modules[module.name][0] for module in order if module.name != name]
    return " ".join([f"{modules[name][0]}:", *reversed(paths)])


def _hard_only(module: Module) -> Module:
    return Module(module.name, module.depends, (), module.vermagic)


def _devices(modules: Mapping[str, tuple[str, Module]]) -> Iterable[str]:
    """Yield `module node cMAJOR:MINOR` for each module that a device node can call for."""
    for name in sorted(modules):
        aliases = modules[name][1].aliases
        nodes = [alias[8:] for alias in aliases if alias.startswith("devname:")]
        numbers = [
            f"{kind}{number.replace('-', ':')}"
            for prefix, kind in DEVICE_MAJORS.items()
            for alias in aliases
            if (number := alias.removeprefix(prefix)) != alias and "*" not in number
        ]
        if nodes and numbers:
            yield f"{name} {nodes[0]} {numbers[0]}"


def _builtin_aliases(untrusted_modinfo: bytes) -> Iterable[Entry]:
    for text in untrusted_modinfo.decode("utf-8", "replace").split("\0"):
        key, _, value = text.partition("=")
        name, _, field_name = key.partition(".")
        if field_name == "alias" and is_word(name) and is_word(value):
            yield _normal(value), canonical(name)


def _normal(alias: str) -> str:
    """Return a pattern as it is looked up: `-` is `_`, but not in a range such as [0-9]."""
    inside, text = False, []
    for char in alias:
        inside = (inside or char == "[") and char != "]"
        text.append("_" if char == "-" and not inside else char)
    return "".join(text)


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


# --- the index ---------------------------------------------------------------------


@dataclass
class _Node:
    prefix: str = ""
    values: list[str] = field(default_factory=list)
    children: dict[str, _Node] = field(default_factory=dict)


def build_index(entries: Iterable[Entry]) -> bytes:
    """Return the index of keys to values; a key's values keep their order. Keys are ASCII."""
    whole: dict[str, list[str]] = {}
    for key, value in entries:
        whole.setdefault(key, []).append(value)
    out = bytearray(_U32.pack(MAGIC) + _U32.pack(VERSION) + bytes(4))
    root = _write(_make_node(sorted(whole.items())), out)
    _U32.pack_into(out, 8, root)
    return bytes(out)


def _make_node(entries: list[tuple[str, list[str]]]) -> _Node:
    """Return the node below which these sorted, unique keys are."""
    if not entries:
        return _Node()
    first, last = entries[0][0], entries[-1][0]
    shared = next(
        (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    node = _Node(prefix=first[:shared])
    below: dict[str, list[tuple[str, list[str]]]] = {}
    for key, values in entries:
        if len(key) == shared:
            node.values = values
        else:
            below.setdefault(key[shared], []).append((key[shared + 1 :], values))
    node.children = {char: _make_node(rest) for char, rest in below.items()}
    return node


def _write(node: _Node, out: bytearray) -> int:
    """Append a node after its children; return its offset and kind."""
    offsets = {ord(char): _write(child, out) for char, child in node.children.items()}
    kind = len(out)
    if node.prefix:
        kind |= HAS_PREFIX
        out += node.prefix.encode("ascii") + b"\0"
    if offsets:
        kind |= HAS_CHILDREN
        first, last = min(offsets), max(offsets)
        out += bytes((first, last))
        out += b"".join(_U32.pack(offsets.get(char, 0)) for char in range(first, last + 1))
    if node.values:
        kind |= HAS_VALUES
        out += _U32.pack(len(node.values))
        for value in node.values:
            out += _U32.pack(0) + value.encode("ascii") + b"\0"
    return kind
