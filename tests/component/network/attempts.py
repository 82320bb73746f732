"""What the guest of `by_name.py` tries, and the addresses of its world."""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

from banger.model.names import VmId
from banger.network.user.kind import NETWORK

INTERFACE = NETWORK.plan_interface(VmId("0123456789ab"))
RESOLVER, ONE, TWO, THREE = "203.0.113.53", "203.0.113.5", "203.0.113.77", "203.0.113.99"
PRIVATE, METADATA, HOSTS, LOOPBACK = "10.1.2.3", "169.254.169.254", "192.0.2.2", "127.0.0.1"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def make_hello(name: str | None) -> bytes:
    """Return the hello of the host's own OpenSSL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def make_request(host: str, target: str = "/", *, method: str = "GET") -> str:
    """Return a request in hexadecimal digits."""
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: h2c\r\n\r\n".encode().hex()


def attempts() -> dict[str, tuple[Any, ...]]:
    hello, fronting, bare = (
        make_hello(name).hex() for name in ("one.example", "two.example", None)
    )
    plain = b"plain".hex()
    private = "private metadata loopback unspecified hosts mixed alias gone".split()
    return {
        "ask one": ("ask", "one.example"),
        "ask one by tcp": ("ask", "one.example", 1, "tcp"),
        "ask ONE.": ("ask", "ONE.Example."),
        "ask AAAA": ("ask", "one.example", 28),
        "ask HTTPS": ("ask", "one.example", 65),
        "ask TXT": ("ask", "one.example", 16),
        "ask two": ("ask", "two.example"),
        "ask sub": ("ask", "data-in-a-label.one.example"),
        "ask tunnel": ("ask", f"{'x' * 60}.two.example", 16),
        "ask a.wild": ("ask", "a.wild.example"),
        "ask wild": ("ask", "wild.example"),
        "ask xwild": ("ask", "xwild.example"),
        "ask no.wild": ("ask", "no.wild.example"),
        "ask idn": ("ask", "xn--bcher-kva.example"),
        "ask local": ("ask", "localhost"),
        "tls": ("talk", "one.example", 443, hello),
        "tls in pieces": ("talk", "one.example", 443, hello, 40),
        "tls wild": ("talk", "a.wild.example", 443, make_hello("a.wild.example").hex()),
        "fronting": ("talk", "one.example", 443, fronting),
        "fronting in pieces": ("talk", "one.example", 443, fronting, 40),
        "no server name": ("talk", "one.example", 443, bare),
        "not tls": ("talk", "one.example", 443, plain),
        "http": ("talk", "one.example", 80, make_request("ONE.example:80")),
        "http in pieces": ("talk", "one.example", 80, make_request("one.example"), 30),
        "http, absolute": (
            "talk",
            "one.example",
            80,
            make_request("one.example", "http://one.example/"),
        ),
        "http, two requests": (
            *("talk", "one.example", 80),
            make_request("one.example") + make_request("two.example"),
        ),
        "http fronting": ("talk", "one.example", 80, make_request("two.example")),
        "http fronting, absolute": (
            *("talk", "one.example", 80),
            make_request("one.example", "http://two.example/"),
        ),
        "http to a proxy": (
            "talk",
            "one.example",
            80,
            make_request("one.example", "two.example:443", method="CONNECT"),
        ),
        "http fronting at 22": ("talk", "one.example", 22, make_request("two.example"), 30),
        "not http": ("talk", "one.example", 80, hello),
        "ssh": ("talk", "one.example", 22, plain),
        "fronting at 22": ("talk", "one.example", 22, fronting),
        "wild at 22": ("talk", "a.wild.example", 22, plain),
        "one at 8443": ("talk", "one.example", 8443, plain),
        "one at 25": ("talk", "one.example", 25, plain),
        "literal": ("talk", ONE, 443, hello),
        "literal allowed": ("talk", TWO, 8443, plain),
        "literal at 53": ("talk", TWO, 53, plain),
        "one at 53": ("talk", "one.example", 53, plain),
        "other literal allowed": ("talk", THREE, 8443, plain),
        "literal of no name": ("talk", "198.18.77.77", 443, hello),
        "host": ("talk", INTERFACE.gateway, 8443, plain),
        "host's other port": ("talk", INTERFACE.gateway, 22, plain),
        "host's resolver": ("talk", INTERFACE.gateway, 53, plain),
        "private literal": ("talk", PRIVATE, 443, hello),
        "metadata literal": ("talk", METADATA, 80, make_request("one.example")),
        "nameserver by tcp": ("talk", RESOLVER, 53, plain),
        "dns over tls": ("talk", RESOLVER, 853, hello),
        "http/2 in the clear": ("talk", "one.example", 80, PREFACE.hex()),
        "nameserver by udp": ("send", RESOLVER, 53, plain),
        "dns over quic": ("send", RESOLVER, 853, plain),
        "quic": ("send", "one.example", 443, plain),
        "quic to a literal": ("send", ONE, 443, plain),
        "udp to the host": ("send", INTERFACE.gateway, 53, plain),
        **{f"ping {to}": ("ping", to) for to in ("one.example", ONE, INTERFACE.gateway)},
        **{
            each: ("talk", f"{each}.example", 443, make_hello(f"{each}.example").hex())
            for each in private
        },
    }
