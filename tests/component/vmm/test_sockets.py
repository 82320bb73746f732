"""The way to an agent's socket, there or not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from banger.errors import GuestGone
from banger.vmm.sockets import connect_agent_socket, listening_socket


def test_what_listens_is_reached(tmp_path: Path) -> None:
    with listening_socket(tmp_path / "agent.sock") as listener:
        with asyncio.run(connect_agent_socket(str(tmp_path / "agent.sock"), deadline_s=5)) as sock:
            sock.setblocking(True)
            sock.sendall(b"x")
            taken, _ = listener.accept()
            with taken:
                assert taken.recv(1) == b"x"


def test_a_socket_that_is_not_there_is_the_end_of_the_guest(tmp_path: Path) -> None:
    with pytest.raises(GuestGone, match="cannot be reached"):
        asyncio.run(connect_agent_socket(str(tmp_path / "agent.sock"), deadline_s=5))
