"""Pass datagrams between clients of the host and UDP ports inside the guest.

UDP has no connections, so a conversation is made up: all that one client says to one port, and
the answers, for as long as either says something within `IDLE_S`. Each costs a process in the
guest, so a VM has `CONVERSATIONS_MAX` of them, and the one that was used least recently makes room
for the next. What cannot be passed on at once is lost, as on a network: memory is bounded by
`WAITING_BYTES` for each conversation, by the guest stream's window and by the kernel's buffers.

If the process dies, so do the conversations; their clients ask again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from banger.errors import BangerError
from banger.forwards.listening import IP_PKTINFO
from banger.guest import GuestUdp

CONVERSATIONS_MAX = 16
"""Of one VM: each takes a stream of its agent and a process in its guest."""
IDLE_S = 90.0
"""A conversation ends after so much silence: docker's proxy has the same."""
WAITING_BYTES = 256 * 1024
"""Most bytes of one client that wait for the guest."""
DATAGRAM_MAX = 65535
AT_ONCE = 64
"""Datagrams that are taken in before others have their turn."""
_PKTINFO_V4 = struct.Struct("=i4s4s")

log = logging.getLogger(__name__)

OpenUdp = Callable[[], Awaitable[GuestUdp]]


class Client(NamedTuple):
    """Who has sent a datagram, and to which address of the host: answers come from there."""

    sock: socket.socket
    address: tuple[str, int]
    ancillary: tuple[int, int, bytes] | None


class Conversations:
    """The conversations of one VM, the one used last at the end."""

    def __init__(self, *, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._by_client: OrderedDict[Client, Conversation] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_client)

    async def serve(self, sock: socket.socket, open_udp: OpenUdp) -> None:
        """Pass on what comes to a socket of `open_listener`, until cancelled.

        Then end its conversations.
        """
        loop = asyncio.get_running_loop()
        loop.add_reader(sock, self._take_all, sock, open_udp)
        try:
            await loop.create_future()
        finally:
            loop.remove_reader(sock)
            mine = [each for client, each in self._by_client.items() if client.sock is sock]
            for conversation in mine:
                conversation.task.cancel()
            await asyncio.gather(*(each.task for each in mine), return_exceptions=True)

    def _take_all(self, sock: socket.socket, open_udp: OpenUdp) -> None:
        for _ in range(AT_ONCE):
            try:
                data, ancillary, _, address = sock.recvmsg(DATAGRAM_MAX, 256)
            except BlockingIOError:
                return
            except OSError as error:  # what ICMP says of an answer that a client did not take
                log.debug("a datagram cannot be taken: %s", error)
            else:
                client = Client(sock, address, read_local_address(ancillary))
                self._find(client, open_udp).put(data)

    def _find(self, client: Client, open_udp: OpenUdp) -> Conversation:
        conversation = self._by_client.get(client)
        if conversation is None:
            if len(self._by_client) >= CONVERSATIONS_MAX:
                _, oldest = self._by_client.popitem(last=False)
                oldest.task.cancel()
            conversation = self._by_client[client] = Conversation(client, open_udp, self._idle_s)
            conversation.task.add_done_callback(lambda _: self._forget(conversation))
        self._by_client.move_to_end(client)
        return conversation

    def _forget(self, ended: Conversation) -> None:
        if self._by_client.get(ended.client) is ended:
            del self._by_client[ended.client]


class Conversation:
    """What one client says to one port, and the answers."""

    def __init__(self, client: Client, open_udp: OpenUdp, idle_s: float) -> None:
        self.client = client
        self._idle_s = idle_s
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self.task = asyncio.create_task(self._hold(open_udp))

    def put(self, datagram: bytes) -> None:
        """Have a datagram passed on, or lose it if too many wait."""
        if self._waiting_bytes + len(datagram) <= WAITING_BYTES:
            self._waiting.append(datagram)
            self._waiting_bytes += max(1, len(datagram))
            self._arrived.set()

    async def _hold(self, open_udp: OpenUdp) -> None:
        try:
            async with asyncio.timeout(self._idle_s) as silence, await open_udp() as guest:
                await self._pass_both(guest, silence)
        except TimeoutError:
            pass
        except BangerError as error:
            log.debug("a conversation with %s broke: %s", self.client.address, error)

    async def _pass_both(self, guest: GuestUdp, silence: asyncio.Timeout) -> None:
        upward = asyncio.ensure_future(self._pass_to_guest(guest, silence))
        try:
            while (untrusted_datagram := await guest.receive()) is not None:
                self._heard(silence)
                send_back(self.client, untrusted_datagram)
        finally:
            upward.cancel()
            await asyncio.gather(upward, return_exceptions=True)

    async def _pass_to_guest(self, guest: GuestUdp, silence: asyncio.Timeout) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                datagram = self._waiting.popleft()
                self._waiting_bytes -= max(1, len(datagram))
                if not await guest.send(datagram):
                    return
                self._heard(silence)

    def _heard(self, silence: asyncio.Timeout) -> None:
        if not silence.expired():
            silence.reschedule(asyncio.get_running_loop().time() + self._idle_s)


def read_local_address(
    ancillary: list[tuple[int, int, bytes]],
) -> tuple[int, int, bytes] | None:
    """Return what has an answer come from the address that was asked; ip(7), ipv6(7).

    Else a client that asked an address of the host, of which the socket listens at all, would get
    its answer from another, and drop it.
    """
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return level, kind, data
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            _, local, _ = _PKTINFO_V4.unpack(data)
            return level, kind, _PKTINFO_V4.pack(0, local, bytes(4))
    return None


def send_back(client: Client, datagram: bytes) -> None:
    """Send an answer, or lose it if it is too large or the kernel's buffer is full."""
    ancillary = [] if client.ancillary is None else [client.ancillary]
    try:
        client.sock.sendmsg([datagram], ancillary, 0, client.address)
    except OSError as error:
        log.debug("an answer to %s is lost: %s", client.address, error)
