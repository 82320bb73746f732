"""stdin, stdout and stderr of commands in a guest: byte by byte, of any size (hazard H7)."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installations import Installation, finish, read_exactly, read_line, wait_for
from tests.support.sampling import choose_size

BIG = choose_size(8, 32) * 1024 * 1024
"""More than all buffers on the way together: sockets, windows, pipes, the daemon's and ours."""


@pytest.fixture(scope="module")
def noise() -> bytes:
    """Bytes that nothing can guess or compress."""
    return random.Random(7).randbytes(BIG)


def test_input_bigger_than_any_buffer(banger: Installation, system: str, noise: bytes) -> None:
    """H7: every byte arrives, and the end of the input."""
    ended = banger.exec(system, "sha256sum", stdin=noise, status=0)
    assert ended.text.split()[0] == hashlib.sha256(noise).hexdigest()


def test_all_three_at_once(banger: Installation, system: str, noise: bytes) -> None:
    """H7: all goes in while it comes out of stdout and again of stderr."""
    process = banger.start("vm", "exec", system, "--", "tee", "/dev/stderr")
    out, err = process.communicate(noise, timeout=600)
    assert process.returncode == 0
    assert hashlib.sha256(out).digest() == hashlib.sha256(noise).digest()
    assert hashlib.sha256(err).digest() == hashlib.sha256(noise).digest()


def test_every_byte_value(banger: Installation, system: str) -> None:
    """H7: no end of line, escape or NUL is special."""
    data = bytes(range(256)) * 3
    assert banger.exec(system, "cat", stdin=data, status=0).out == data


def test_nothing_at_all(banger: Installation, system: str) -> None:
    """H7: empty input is an end, empty output is nothing."""
    assert banger.exec(system, "cat", stdin=b"", status=0).out == b""


def test_a_command_that_does_not_read(banger: Installation, system: str, noise: bytes) -> None:
    """H7: input that nobody takes neither blocks nor hides the status."""
    assert banger.exec(system, "sh", "-c", "exec <&-; exit 9", stdin=noise).status == 9


def test_closed_standard_descriptors(banger: Installation, system: str) -> None:
    """H7: a client without stdin, stdout and stderr runs its command as any other."""
    file = "/tmp/closed-descriptors"
    client = [sys.executable, "-m", "banger", "vm", "exec", system, "--"]
    process = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', *client, "sh", "-c", f"echo x >{file}; exit 5"],
        env=banger.environ,
        check=False,
        timeout=300,
    )
    assert process.returncode == 5
    assert banger.exec(system, "cat", file, status=0).text == "x"


def test_endless_output_ends_with_its_reader(banger: Installation, system: str) -> None:
    """H7, H2: `| head -c` gets its bytes; the client dies of SIGPIPE; the command is gone."""
    with banger.start("vm", "exec", system, "--", "yes", "endless") as process:
        assert read_exactly(process.stdout, 100_000) == b"endless\n" * 12_500
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.wait(300) == -signal.SIGPIPE
        assert process.stderr.read() == b""
    wait_for(lambda: banger.exec(system, "pgrep", "-x", "yes").out == b"", "yes to be gone")


def test_a_slow_reader_holds_up_nobody_else(banger: Installation, system: str) -> None:
    """H7: flow control is per stream; a stalled one costs bounded memory."""
    stalled = banger.start("vm", "exec", system, "--", "yes")
    assert read_exactly(stalled.stdout, 2) == b"y\n"
    # Its pipe, the client's and the daemon's buffers fill up, and there it stays.
    for number in range(5):
        assert banger.exec(system, "echo", str(number), status=0).text == str(number)
    stalled.kill()
    finish(stalled)


def test_output_of_a_command_that_ends_at_once(banger: Installation, system: str) -> None:
    """H7: the last bytes are not lost when the process ends right after writing them."""
    for _ in range(10):
        ended = banger.exec(system, "sh", "-c", "head -c 300000 /dev/zero; exit 3")
        assert (ended.status, len(ended.out)) == (3, 300_000)


def test_a_child_that_keeps_the_pipes_does_not_hold_the_command(
    banger: Installation, system: str
) -> None:
    """H2: the command's end counts, not the end of its output."""
    script = "sleep 7773 & echo left; exit 4"
    ended = banger.exec(system, "sh", "-c", script)
    assert (ended.status, ended.text) == (4, "left")
    banger.exec(system, "pkill", "-f", "[s]leep 7773")


def test_input_that_comes_bit_by_bit(banger: Installation, system: str) -> None:
    """H7: each piece is passed on when it comes, and answered before the next one."""
    process = banger.start("vm", "exec", system, "--", "cat")
    assert process.stdin is not None
    for number in range(5):
        line = b"line %d\n" % number
        process.stdin.write(line)
        assert read_line(process) == line
    assert finish(process, stdin=b"", status=0).out == b""


def test_files_instead_of_pipes(banger: Installation, system: str, tmp_path: Path) -> None:
    """H7: a file is never unready, on either side."""
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(os.urandom(3_000_000))
    with open(source, "rb") as stdin, open(target, "wb") as stdout:
        process = banger.start("vm", "exec", system, "--", "cat", stdin=stdin, stdout=stdout)
        finish(process, status=0)
    assert target.read_bytes() == source.read_bytes()
