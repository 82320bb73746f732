"""CHECKSUM, and TAR_IN and TAR_OUT that go on with a part of a file."""

from __future__ import annotations

import hashlib
import os
import random
import tarfile
from pathlib import Path

import pytest

from tests.unit.agent.test_agent_tar import archive, member, pack, read_archive, until
from tests.unit.agent.wire import CHECKSUM, TAR_IN, TAR_OUT, Host, Outcome

KEEP = 2
NOISE = random.Random(7).randbytes(400_000)
PART = ".big.banger-part"


def put(host: Host, path: Path, content: bytes, *, offset: int, **attributes: int) -> Outcome:
    """Send what is missing of a file from an offset on."""
    stream = host.open(TAR_IN, ("PATH", str(path)), ("FLAGS", KEEP), ("OFFSET", offset))
    host.write(stream, archive([member("big", content[offset:], **attributes)]))
    return host.wait(stream)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 255, 256, 257, 65535, 65536, 65537, 400_000])
def test_a_digest_is_that_of_the_first_bytes(host: Host, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(NOISE)
    digest = host.call(CHECKSUM, ("PATH", str(tmp_path / "file")), ("SIZE", size)).result["DIGEST"]
    assert digest == hashlib.blake2b(NOISE[:size], digest_size=32).digest()


def test_what_has_no_digest(host: Host, tmp_path: Path) -> None:
    """E3: no link is followed, and no pipe is waited for."""
    (tmp_path / "file").write_bytes(b"short")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    codes = {"file": "too-short", "missing": "not-found", "link": "io", "pipe": "bad-request"}
    codes["."] = "bad-request"
    for name, code in codes.items():
        assert host.call(CHECKSUM, ("PATH", str(tmp_path / name)), ("SIZE", 6)).code == code
    assert host.call(CHECKSUM, ("SIZE", 6)).code == "bad-request"


@pytest.mark.parametrize("size", [513, 4096, 200_000, 512 + len(NOISE) - 1])
@pytest.mark.parametrize("how", ["end", "close", "new host"])
def test_a_part_is_kept_and_gone_on_with(host: Host, tmp_path: Path, how: str, size: int) -> None:
    """A9: what was there stays until the whole is there, with its mode and time."""
    (tmp_path / "big").write_bytes(b"old")
    raw = archive([member("big", NOISE)], tarfile.USTAR_FORMAT)[:size]
    stream = host.open(TAR_IN, ("PATH", str(tmp_path)), ("FLAGS", KEEP))
    host.write(stream, raw, eof=how == "end")
    part = tmp_path / PART
    until(lambda: part.exists() and part.stat().st_size == size - 512)
    if how == "close":
        host.close_stream(stream)
    elif how == "new host":
        host.connect()
    if how != "new host":
        assert host.wait(stream).code == ("closed" if how == "close" else "bad-archive")
    assert part.read_bytes() == NOISE[: size - 512]
    assert (tmp_path / "big").read_bytes() == b"old"
    put(host, tmp_path, NOISE, offset=size - 512, mode=0o640, mtime=99).result  # noqa: B018 - asserts that it is one
    found = (tmp_path / "big").stat()
    assert (found.st_mode & 0o777, found.st_mtime) == (0o640, 99)
    assert (tmp_path / "big").read_bytes() == NOISE
    assert os.listdir(tmp_path) == ["big"]


def test_two_copies_do_not_share_a_part(host: Host, tmp_path: Path) -> None:
    """A9, C6: the second waits for one that ends, as a copy that was broken off just now does."""
    raw = archive([member("big", NOISE)])
    fields = (("PATH", str(tmp_path)), ("FLAGS", KEEP))
    first = host.open(TAR_IN, *fields)
    host.write(first, raw[:100_000], eof=False)
    until(lambda: (tmp_path / PART).exists() and (tmp_path / PART).stat().st_size > 0)
    assert put(host, tmp_path, NOISE, offset=0).code == "in-use"
    second = host.open(TAR_IN, *fields)
    host.write(second, raw[:20_000], eof=False)
    host.write(first, raw[100_000:])
    host.wait(first).result  # noqa: B018 - asserts that it is one
    host.write(second, raw[20_000:])
    host.wait(second).result  # noqa: B018 - asserts that it is one
    assert (tmp_path / "big").read_bytes() == NOISE
    assert os.listdir(tmp_path) == ["big"]


def test_what_is_behind_the_offset_is_cut_off(host: Host, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(NOISE[:1000] + b"wrong" * 100_000)
    put(host, tmp_path, NOISE, offset=1000).result  # noqa: B018 - asserts that it is one
    assert (tmp_path / "big").read_bytes() == NOISE


def test_what_is_no_part_is_refused(host: Host, tmp_path: Path) -> None:
    """E3, F1: a shorter one, a link; and an archive of more than one file."""
    (tmp_path / PART).write_bytes(b"short")
    assert put(host, tmp_path, NOISE, offset=1000).code == "io"
    assert (tmp_path / PART).read_bytes() == b"short"
    (tmp_path / PART).unlink()
    (tmp_path / PART).symlink_to(tmp_path / "elsewhere")
    assert put(host, tmp_path, NOISE, offset=0).code == "io"
    assert not (tmp_path / "elsewhere").exists()
    stream = host.open(TAR_IN, ("PATH", str(tmp_path / "sub")), ("FLAGS", KEEP))
    host.write(stream, archive([member("one"), member("two")]))
    assert host.wait(stream).code == "bad-archive"


@pytest.mark.parametrize("offset", [0, 1, 1000, 399_999, 400_000, 500_000])
def test_a_file_comes_without_its_beginning(host: Host, tmp_path: Path, offset: int) -> None:
    (tmp_path / "big").write_bytes(NOISE)
    outcome = host.call(TAR_OUT, ("PATH", str(tmp_path)), ("NAME", "big"), ("OFFSET", offset))
    assert outcome.result
    info = read_archive(outcome.stdout)["big"]
    content = outcome.stdout[info.offset_data :][: info.size]
    assert content == NOISE[offset:]
    assert read_archive(pack(host, tmp_path, "big").stdout)["big"].size == len(NOISE)
