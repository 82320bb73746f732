"""Attachments, which connect a VMM to its VM's network. Pure values.

A network is up before its VMM. What waits for the VMM is one end of a socket pair, and closing
that end without a VMM ends the network. A driver's kind says which of the two the VMM speaks.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import StrEnum

TAP_NAME = "tap0"
"""The same in every VM, so that a clone finds its template's: each has a network namespace."""


class AttachmentKind(StrEnum):
    """What a VMM can be joined to."""

    SOCKET = "socket"
    TAP = "tap"


@dataclass(frozen=True)
class Socket:
    """A stream of Ethernet frames, each behind its length in four bytes, big-endian."""

    side: socket.socket


@dataclass(frozen=True)
class Tap:
    """A TAP, in the network namespace that the VMM is started in.

    Whoever makes the TAP sends the network a packet socket on it through `side`; the VMM holds
    `side` open until it ends, and by that the network knows. `vmm.tap` plans that.
    """

    side: socket.socket
    name: str = TAP_NAME


Attachment = Socket | Tap
