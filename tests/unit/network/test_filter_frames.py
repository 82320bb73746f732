"""The filter before a descriptor of which each read and write is one frame, as of a TAP's queue.

A pipe in packet mode, which the filter has both ends of, stands in: what leaves comes back.
`tests/component/network/test_bridge.py` has the kernel's own.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
from pathlib import Path

from banger.network.egress.control import control_socket
from tests.unit.network.wire import (
    EVERYTHING,
    SENTINEL,
    EgressFilter,
    ipv4_frame,
    receive_frame,
    stream,
)

OUTSIDE, LOOPBACK = b"\x01\x01\x01\x01", b"\x7f\0\0\1"


def test_frames_that_may_pass_are_written_and_read_one_by_one(
    filter_binary: Path, tmp_path: Path
) -> None:
    """E4."""
    frames = [ipv4_frame(OUTSIDE, payload=bytes([size]) * size) for size in range(8, 200)]
    os.mkfifo(tmp_path / "queue")
    queue = os.open(tmp_path / "queue", os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(queue, fcntl.F_SETFL, os.O_DIRECT | os.O_NONBLOCK)
    guest, guarded = socket.socketpair()
    with guest, control_socket(tmp_path / "control") as listener:
        with guarded:
            numbers = (guarded.fileno(), queue, listener.fileno())
            command = [filter_binary, "socket", *map(str, numbers), "label"]
            process = subprocess.Popen(command, pass_fds=numbers)
        os.close(queue)
        running = EgressFilter(guest, guest, process, tmp_path / "control")
        assert running.ask(b"P" + EVERYTHING) == b"P"
        for frame in frames:  # one at a time: nothing takes them from the pipe but the filter
            guest.sendall(stream(ipv4_frame(LOOPBACK), frame))
            assert receive_frame(guest) == frame
        guest.sendall(stream(SENTINEL))
        assert receive_frame(guest) == SENTINEL
        guest.close()
        assert process.wait(EgressFilter.DEADLINE_S) == 0
