"""LIST and READ: records of names, content of exact size, confinement."""

from __future__ import annotations

import os
import random
import stat
import struct
from pathlib import Path

import pytest

from tests.unit.agent.wire import FIRST_WINDOW, LIST, READ, Host, Outcome, number

RECORD = struct.Struct("<IIIIQQqq")
NOISE = random.Random(7).randbytes(300_000)


def ask(host: Host, kind: int, path: Path, *names: bytes) -> Outcome:
    return host.call(kind, ("PATH", str(path)), *(("NAME", name) for name in names))


def records(raw: bytes, *, content: bool = False) -> dict[bytes, tuple[tuple[int, ...], bytes]]:
    """Return (mode, uid, gid, size, inode, mtime, ctime) and content of each name."""
    found = {}
    while raw:
        length, *numbers = RECORD.unpack_from(raw)
        name, raw = raw[RECORD.size :][:length], raw[RECORD.size + length :]
        size = numbers[3] if content else 0
        found[name], raw = (tuple(numbers), raw[:size]), raw[size:]
    return found


def as_seen(path: Path | bytes) -> tuple[int, ...]:
    seen = os.lstat(path)
    return (
        seen.st_mode,
        seen.st_uid,
        seen.st_gid,
        seen.st_size,
        seen.st_ino,
        seen.st_mtime_ns,
        seen.st_ctime_ns,
    )


def test_list_tells_what_lstat_tells(host: Host, tmp_path: Path) -> None:
    top = os.fsencode(tmp_path)
    (tmp_path / "d/deep").mkdir(parents=True)
    (tmp_path / "d/x").write_bytes(b"12345")
    os.utime(tmp_path / "d/x", ns=(0, -1_000_000_001))
    (tmp_path / "d/link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "d/pipe")
    odd = b"d/caf\xe9\n"
    os.close(os.open(os.path.join(top, odd), os.O_CREAT))
    outcome = ask(host, LIST, tmp_path, b"", b"d")
    found = {name: facts for name, (facts, _) in records(outcome.stdout).items()}
    names = [b"d", b"d/deep", b"d/x", b"d/link", b"d/pipe", odd]
    assert found == {name: as_seen(os.path.join(top, name)) for name in names}
    assert number(outcome.result["ENTRIES"]) == 6
    assert 1 in outcome.ended


def test_list_passes_over_what_is_no_directory(host: Host, tmp_path: Path) -> None:
    """E3: and never follows a link, on the way or at the end."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/secret").touch()
    top = tmp_path / "top"
    top.mkdir()
    (top / "file").touch()
    (top / "link").symlink_to("../out")
    (top / "absolute").symlink_to(tmp_path / "out")
    names = [b"gone", b"file", b"file/x", b"link", b"absolute", b"..", b"../out", b"link/x"]
    outcome = ask(host, LIST, top, *names)
    assert outcome.stdout == b""
    assert number(outcome.result["ENTRIES"]) == 0


@pytest.mark.parametrize("kind", [LIST, READ])
def test_a_path_that_is_no_directory_is_told(host: Host, tmp_path: Path, kind: int) -> None:
    (tmp_path / "file").touch()
    assert ask(host, kind, tmp_path / "file", b"").code == "not-found"
    assert ask(host, kind, tmp_path / "gone", b"").code == "not-found"
    assert host.call(kind, ("NAME", b"x")).code == "bad-request"


def test_read_gives_files_and_links_in_order(host: Host, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/noise").write_bytes(NOISE)
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("d/noise")
    os.mkfifo(tmp_path / "pipe")
    names = [b"link", b"d/noise", b"gone", b"pipe", b"d", b"empty"]
    outcome = ask(host, READ, tmp_path, *names)
    found = records(outcome.stdout, content=True)
    assert list(found) == [b"link", b"d/noise", b"empty"]
    assert {name: content for name, (_, content) in found.items()} == {
        b"link": b"d/noise",
        b"d/noise": NOISE,
        b"empty": b"",
    }
    assert found[b"d/noise"][0] == as_seen(tmp_path / "d/noise")
    assert stat.S_ISLNK(found[b"link"][0][0])
    assert number(outcome.result["BYTES"]) == len(NOISE) + len(b"d/noise")


def test_read_follows_no_link_on_the_way(host: Host, tmp_path: Path) -> None:
    """E3."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/secret").write_bytes(b"secret")
    top = tmp_path / "top"
    top.mkdir()
    (top / "link").symlink_to("../out")
    outcome = ask(host, READ, top, b"link/secret", b"../out/secret", b"/etc/passwd")
    assert outcome.stdout == b""


def test_a_file_that_shrinks_is_filled_with_zeros(host: Host, tmp_path: Path) -> None:
    """The record's size holds, whatever a program does to the file meanwhile."""
    big = tmp_path / "big"
    big.write_bytes(b"x" * 4_000_000)
    stream = host.open(READ, ("PATH", str(tmp_path)), ("NAME", b"big"))
    # Without credit the agent stands still in the middle of the file.
    host.grants = False
    while len(host.outcomes[stream].output[1]) < FIRST_WINDOW:
        host.step()
    os.truncate(big, 100)
    host.grants = True
    host.send(credit(stream, 4_000_000))
    ((facts, content),) = records(host.wait(stream).stdout, content=True).values()
    assert facts[3] == len(content) == 4_000_000
    assert content.rstrip(b"\0") == content[: len(content.rstrip(b"\0"))]
    assert content.endswith(bytes(1_000_000))


def credit(stream: int, size: int) -> bytes:
    payload = struct.pack("<I", size)
    return struct.pack("<BBBBII", 5, 1, 0, 0, stream, len(payload)) + payload + b"\xe5"


def test_many_names_in_one_request(host: Host, tmp_path: Path) -> None:
    for number_ in range(3000):
        (tmp_path / f"f{number_}").write_bytes(b"%d" % number_)
    listed = records(ask(host, LIST, tmp_path, b"").stdout)
    assert len(listed) == 3000
    found = records(ask(host, READ, tmp_path, *listed).stdout, content=True)
    assert {name: content for name, (_, content) in found.items()} == {
        b"f%d" % n: b"%d" % n for n in range(3000)
    }
