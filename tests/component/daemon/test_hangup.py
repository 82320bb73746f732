"""The watch over clients that leave."""

from __future__ import annotations

import asyncio
import os
import socket

from banger.daemon.fronts.unix.disconnects import HangupWatch


def test_a_number_that_is_another_connections_by_now() -> None:
    """C5, H2: forgetting a connection whose socket is closed does not blind us to its successor."""
    asyncio.run(_reuse_a_number())


async def _reuse_a_number() -> None:
    watch = HangupWatch()
    try:
        left, left_peer = socket.socketpair()
        here, there = socket.socketpair()
        fd = left.fileno()
        told: list[str] = []
        gone = asyncio.Event()

        def first() -> None:
            told.append("first")

        def second() -> None:
            told.append("second")
            gone.set()

        watch.watch(fd, first)
        left.close()  # as asyncio does when a write to it failed
        os.dup2(here.fileno(), fd)
        here.close()
        watch.watch(fd, second)

        watch.forget(fd, first)
        there.close()
        await asyncio.wait_for(gone.wait(), timeout=30)
        assert told == ["second"]
        left_peer.close()
        os.close(fd)
    finally:
        watch.close()


def test_a_socket_that_was_closed_before_it_is_forgotten() -> None:
    """C5: that is no bug."""
    asyncio.run(_forget_late())


async def _forget_late() -> None:
    watch = HangupWatch()
    try:
        left, peer = socket.socketpair()
        fd = left.fileno()

        def never() -> None:
            raise AssertionError

        watch.watch(fd, never)
        left.close()
        watch.forget(fd, never)
        peer.close()
    finally:
        watch.close()
