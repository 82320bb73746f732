"""ELF files and bzImages made from their formats, so that tests need no kernel."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile

from banger.kernels.catalogue import needs_of

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
SHDR = struct.Struct("<IIQQQQIIQQ")


VERSION = "6.1.0-test"


def elf(sections: dict[str, bytes], *, machine: int = 62) -> bytes:
    """Return a 64-bit ELF file with these sections."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (*sections, ".shstrtab"))
    body, table, at = b"", [bytes(SHDR.size)], EHDR.size
    for name, content in {**sections, ".shstrtab": names}.items():
        offset = names.index(b"\0" + name.encode() + b"\0") + 1
        table.append(SHDR.pack(offset, 1, 0, 0, at, len(content), 0, 0, 1, 0))
        body += content
        at += len(content)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = EHDR.pack(
        ident, 1, machine, 1, 0, 0, at, 0, EHDR.size, 0, 0, SHDR.size, len(table), len(table) - 1
    )
    return header + body + b"".join(table)


def module(depends: str = "", *, softdep: str = "", vermagic: str = "6.1.0-test SMP") -> bytes:
    """Return a module that says this of itself."""
    lines = ["license=GPL", f"depends={depends}", f"vermagic={vermagic}"]
    lines += [f"softdep={softdep}"] if softdep else []
    return elf({".text": b"\x90" * 8, ".modinfo": "\0".join(lines).encode() + b"\0"})


def bzimage(payload: bytes, *, protocol: int = 0x20F, setup_sectors: int = 1) -> bytes:
    """Return a bzImage with this payload."""
    setup = bytearray((setup_sectors + 1) * 512)
    setup[0x1F1] = setup_sectors
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, protocol)
    struct.pack_into("<II", setup, 0x248, 16, len(payload))
    return bytes(setup) + bytes(16) + payload + b"the rest of the setup code"


def config(without: str = "") -> str:
    """Return a configuration that has all that guests need built in, but for one option."""
    options = [
        need.option for need in needs_of("x86_64") if need.option not in (without, "MODULES")
    ]
    return "".join(f"CONFIG_{option}=y\n" for option in options)


def kernel(*, carries: str | None = None) -> bytes:
    """Return what passes for a kernel, with the configuration that it carries, if any."""
    embedded = b""
    if carries is not None:
        embedded = b"IKCFG_ST" + gzip.compress(carries.encode(), mtime=0) + b"IKCFG_ED"
    banner = f"Linux version {VERSION} (banger@banger)".encode()
    plain = elf({".rodata": banner + b"\0" + embedded})
    return bzimage(gzip.compress(plain, mtime=0) + struct.pack("<I", len(plain)))


def tar(files: dict[str, bytes]) -> bytes:
    """Return a tar of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def deb(data: bytes, ending: str) -> bytes:
    """Return a Debian package whose files are this tar, packed as its ending says."""
    members = {"debian-binary": b"2.0\n", "control.tar.gz": b"odd", f"data.tar{ending}": data}
    package = b"!<arch>\n"
    for name, content in members.items():
        package += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        package += content + b"\n" * (len(content) % 2)
    return package
