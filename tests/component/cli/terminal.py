"""The command line on a terminal of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

from tests.component.daemon.running import with_sources
from tests.support.forked import start_banger, take_terminal


class Terminal:
    """A pseudo terminal, and a program, ours by default, that has it as its controlling one."""

    def __init__(self, environ: dict[str, str], *words: str, program: str = "") -> None:
        self.fd, slave = pty.openpty()
        self.set_size(30, 100)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        options = {
            "env": {**with_sources(environ), "TERM": "vt220"},
            **dict.fromkeys(("stdin", "stdout", "stderr"), slave),
            "start_new_session": True,
            "preexec_fn": take_terminal,
        }
        self.process = (
            subprocess.Popen([*program.split(), *words], **options)
            if program
            else start_banger(*words, **options)
        )
        self.output = b""

    def set_size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def expect(self, text: bytes, *, keep: bool = False) -> None:
        """Read until `text` has come; forget what was up to it unless told to keep it."""
        end = time.monotonic() + 30
        while text not in self.output:
            assert select.select([self.fd], [], [], max(0.0, end - time.monotonic()))[0], (
                self.output
            )
            self.output += os.read(self.fd, 65536)
        if not keep:
            self.output = self.output.partition(text)[2]

    def send(self, data: bytes) -> None:
        os.write(self.fd, data)

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self.slave)
        os.close(self.fd)
        self.slave = self.fd = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self.hang_up()
