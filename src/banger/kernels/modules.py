"""Kernel modules: their metadata, and which ones to load in which order. Pure.

A module's `.modinfo` section holds NUL-terminated `key=value` strings; `depends`
names the modules whose symbols it uses, `softdep` those it asks for by name
(`pre: crc32c`). Names compare with `-` and `_` equal, as in modprobe.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import zstandard

from banger.kernels.elf import NotElf, read_section

MODULE_BYTES_MAX = 64 * 1024 * 1024
"""No module of a distribution comes near; a bomb would."""


@dataclass(frozen=True)
class Module:
    """One module as its `.modinfo` describes it."""

    name: str
    depends: tuple[str, ...]
    soft_depends: tuple[str, ...]
    """Those that are to be loaded before it."""
    vermagic: str
    aliases: tuple[str, ...] = ()
    """Patterns of what it drives, as the kernel asks for it."""


class BadModule(ValueError):
    """The bytes are not a kernel module that we can read."""


def canonical(name: str) -> str:
    """Return a module name as modprobe compares it."""
    return name.replace("-", "_")


def unpack_module(file_name: str, untrusted_file: bytes) -> bytes:
    """Return the plain `.ko` of a `.ko`, `.ko.gz`, `.ko.xz` or `.ko.zst` file, at most 64 MiB.

    Raises:
        BadModule: it does not decompress.
    """
    try:
        if file_name.endswith(".xz"):
            decoder = lzma.LZMADecompressor()
            plain = decoder.decompress(untrusted_file, MODULE_BYTES_MAX)
            whole = decoder.eof
        elif file_name.endswith(".gz"):
            gunzip = zlib.decompressobj(wbits=31)
            plain = gunzip.decompress(untrusted_file, MODULE_BYTES_MAX)
            whole = gunzip.eof
        elif file_name.endswith(".zst"):
            unzstd = zstandard.ZstdDecompressor()
            with unzstd.stream_reader(untrusted_file) as reader:
                plain = reader.read(MODULE_BYTES_MAX)
                whole = not reader.read(1)
        else:
            plain, whole = untrusted_file, len(untrusted_file) <= MODULE_BYTES_MAX
    except (lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
        raise BadModule(f"{file_name} does not decompress: {error}") from error
    if not whole:
        raise BadModule(f"{file_name} is cut short or too large")
    return plain


def parse_module(untrusted_file: bytes, *, name: str) -> Module:
    """Return what a plain module says of itself; `name` is that of its file.

    Raises:
        BadModule: it is not an ELF file with a readable `.modinfo`.
    """
    try:
        section = read_section(untrusted_file, ".modinfo")
    except NotElf as error:
        raise BadModule(f"{name}: {error}") from error
    if section is None:
        raise BadModule(f"{name} has no .modinfo section")
    pairs = [text.partition("=") for text in section.decode("utf-8", "replace").split("\0") if text]
    values = {key: value for key, _, value in reversed(pairs)}
    soft = [value for key, _, value in pairs if key == "softdep"]
    return Module(
        name=canonical(name),
        depends=tuple(canonical(d) for d in values.get("depends", "").split(",") if d),
        soft_depends=tuple(d for text in soft for d in _parse_softdep(text)),
        vermagic=values.get("vermagic", ""),
        aliases=tuple(value for key, _, value in pairs if key == "alias"),
    )


Aliases = Mapping[str, Sequence[str]]
"""Canonical names of the modules that go by an alias, by the alias."""


def map_aliases(modules: Iterable[Module]) -> Aliases:
    """Return which modules go by each alias that is a plain name, such as `crc32c`."""
    found: dict[str, list[str]] = {}
    for module in modules:
        for alias in module.aliases:
            if alias.replace("-", "_").isidentifier():
                found.setdefault(canonical(alias), []).append(module.name)
    return found


def order_modules(
    wanted: Iterable[str],
    *,
    find: Callable[[str], Module | None],
    aliases: Aliases = MappingProxyType({}),
) -> tuple[list[Module], list[str]]:
    """Return the modules in load order, each after what it depends on, and the missing names.

    `find` returns the module of a canonical name. A soft dependency may be an alias: ext4 asks for
    `crc32c` and cannot mount without one. A missing one is no loss: most are built in.
    """
    order: dict[str, Module] = {}
    missing: list[str] = []

    def depend(module: Module) -> list[str]:
        soft = [n for d in module.soft_depends for n in ([d] if find(d) else aliases.get(d, ()))]
        return [*soft, *module.depends]

    for name in wanted:
        _add(canonical(name), find, depend, order, missing)
    return list(order.values()), missing


def _add(
    name: str,
    find: Callable[[str], Module | None],
    depend: Callable[[Module], list[str]],
    order: dict[str, Module],
    missing: list[str],
) -> None:
    """Append `name` after its dependencies; a stack instead of recursion, and cycles end."""
    stack = [(name, False)]
    opened: set[str] = set()
    while stack:
        current, ready = stack.pop()
        module = None if current in order else find(current)
        if current in order or current in missing:
            continue
        if module is None:
            missing.append(current)
        elif ready:
            order[current] = module
        elif current not in opened:
            opened.add(current)
            stack.append((current, True))
            stack.extend((d, False) for d in reversed(depend(module)))


def _parse_softdep(text: str) -> list[str]:
    """Return the names after `pre:`, up to `post:`."""
    names: list[str] = []
    before = False
    for word in text.split():
        if word in ("pre:", "post:"):
            before = word == "pre:"
        elif before:
            names.append(canonical(word))
    return names
