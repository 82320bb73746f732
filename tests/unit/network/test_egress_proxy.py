"""The pure parts of the egress proxy: what names mean, and what TLS begins with."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from banger.model.egress import Egress, Profile
from banger.model.secrets import BoundSecret, Secret
from banger.network.dnswire import IN, Code, Type, parse_query, render_name
from banger.network.egress.policy import SYNTHETIC
from banger.network.user.proxy.denials import DENIALS_MAX, WHY_MAX, Denials, Refused
from banger.network.user.proxy.flows import Flow, is_judged, read_first
from banger.network.user.proxy.hello import HELLO_MAX, Hello, NotTls, parse_hello
from banger.network.user.proxy.http import HEAD_MAX, NotHttp, Rewriter, find_server
from banger.network.user.proxy.names import Names
from banger.network.user.proxy.policy import Policy
from banger.network.user.proxy.resolver import answer_query
from banger.network.user.proxy.secrets import Secrets
from banger.network.user.proxy.server import accept
from banger.network.user.proxy.targets import Target
from tests.component.network.by_name import make_hello

HELLO = make_hello("one.example")
ECH = 0xFE0D


def flow_to(port: int, *secrets: Secret) -> Flow:
    """Return a connection to one.example."""
    target = Target("one.example", IPv4Address("198.18.7.7"), port)
    bound = [BoundSecret(secret=each, placeholder="placeholder") for each in secrets]
    return Flow(target, policy(), Secrets(bound))


def policy(*rules: str) -> Policy:
    return Policy(Egress(profile=Profile.ALLOWLIST, rules=rules))


@pytest.mark.parametrize(
    ("rule", "name", "port", "allowed"),
    [
        ("allow one.example", "one.example", 443, True),
        ("allow one.example", "one.example", 80, True),
        ("allow one.example", "one.example", 22, False),
        ("allow one.example:20-30", "one.example", 22, True),
        ("allow One.Example", "one.example", 443, True),
        ("allow one.example", "a.one.example", 443, False),
        ("allow *.one.example", "a.b.one.example", 443, True),
        ("allow *.one.example", "one.example", 443, False),
        ("allow *.one.example", "aone.example", 443, False),
        ("allow 203.0.113.7:443", "one.example", 443, False),
    ],
)
def test_a_name_is_allowed_as_its_rule_says(rule: str, name: str, port: int, allowed: bool) -> None:
    assert policy(rule).allows_name(name, port) is allowed


def test_of_rules_by_name_the_first_decides() -> None:
    rules = policy("deny a.one.example:443", "allow *.one.example", "deny b.one.example")
    assert not rules.allows_name("a.one.example", 443)
    assert rules.allows_name("a.one.example", 80)
    assert rules.allows_name("b.one.example", 443)
    assert rules.resolves("a.one.example")


def ask(name: bytes, *, class_: int = IN, rules: Policy, names: Names) -> tuple[Code, list[bytes]]:
    question = render_name(name.split(b".")) + struct.pack("!2H", Type.A, class_)
    query = parse_query(struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + question)
    answer = answer_query(query, rules, names)
    return answer.code, [each.data for each in answer.answers]


def test_an_address_is_a_names_own_and_the_same_in_a_fork() -> None:
    """E4, D2: a guest that went on elsewhere knows addresses of before."""
    rules, names, others = policy("allow *.example"), Names(), Names()
    found = {}
    for number in range(2000):
        name = f"n{number}.example"
        _, (address,) = ask(name.encode(), rules=rules, names=names)
        found[address] = name
    assert len(found) == 2000
    same = [others.give_address(name) == names.give_address(name) for name in found.values()]
    assert sum(same) > 1900
    address = names.give_address("n7.example")
    assert address in SYNTHETIC
    assert names.find_name(address) == "n7.example"


@pytest.mark.parametrize("name", [b"two.example", b"on\xe9.example", b"one example", b"one"])
def test_a_name_that_no_rule_has_does_not_exist(name: bytes) -> None:
    """E4: nor is it asked of anybody."""
    rules = policy("allow one.example")
    assert ask(name, rules=rules, names=Names()) == (Code.NAME_ERROR, [])


def test_of_another_class_than_the_internets_nothing_is_answered() -> None:
    rules = policy("allow one.example")
    assert ask(b"one.example", class_=3, rules=rules, names=Names()) == (Code.REFUSED, [])


def test_the_server_name_of_a_hello_is_read_in_any_pieces() -> None:
    """E4: nothing is decided before it is whole."""
    assert [parse_hello(HELLO[:at]) for at in range(len(HELLO))] == [None] * len(HELLO)
    assert parse_hello(HELLO) == parse_hello(HELLO + b"more") == Hello("one.example")
    assert parse_hello(make_hello(None)) == Hello(None)


def test_the_server_name_of_a_hello_is_read_in_many_records() -> None:
    """E4: whose lengths are the client's choice."""
    message = HELLO[5:]
    records = b"".join(
        b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part
        for part in (message[at : at + 3] for at in range(0, len(message), 3))
    )
    assert parse_hello(records) == Hello("one.example")


def hello_of(*extensions: tuple[int, bytes]) -> bytes:
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    packed = b"".join(struct.pack("!2H", kind, len(data)) + data for kind, data in extensions)
    body += len(packed).to_bytes(2, "big") + packed
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def server_name(*names: bytes, kind: int = 0) -> bytes:
    entries = b"".join(struct.pack("!BH", kind, len(name)) + name for name in names)
    return len(entries).to_bytes(2, "big") + entries


def test_of_an_encrypted_hello_the_outer_name_counts() -> None:
    """E4: browsers send what looks like one always."""
    untrusted = hello_of((ECH, b"x" * 200), (0, server_name(b"One.Example")))
    assert parse_hello(untrusted) == Hello("one.example")


@pytest.mark.parametrize(
    "untrusted",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x02",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\x7f\x00\x00",
        hello_of((0, server_name(b"one.example", b"two.example"))),
        hello_of((0, server_name(b"one.example")), (0, server_name(b"two.example"))),
        hello_of((0, server_name(b"one.example", kind=1))),
        hello_of((0, server_name(b""))),
        hello_of((0, server_name("ein\xe9.example".encode()))),
        hello_of((0, server_name(b"one.example") + b"x")),
        b"\x16\x03\x01\x00\x01\x01" * (HELLO_MAX // 6 + 1),
    ],
)
def test_what_is_no_hello_is_refused(untrusted: bytes) -> None:
    """E4: also two names, of which a server may take either."""
    with pytest.raises(NotTls):
        parse_hello(untrusted)


REQUEST = b"POST http://one.example/ HTTP/1.1\r\nHost: one.example\r\nContent-Length: 3\r\n\r\nabc"


@given(st.binary(max_size=600), st.sampled_from((HELLO, REQUEST)), st.integers(0, 600))
@example(b"", HELLO, 0)
@example(b"://[", REQUEST, len("POST http"))
def test_any_beginning_is_judged(untrusted: bytes, whole: bytes, at: int) -> None:
    """E4: refused, enough or not enough, and nothing else."""
    for port in (22, 80, 443):
        for each in (untrusted, whole[:at] + untrusted):
            with contextlib.suppress(Refused):
                is_judged(each, flow_to(port))


@pytest.mark.parametrize(
    ("fields", "server"),
    [
        ("Host: One.Example", "one.example"),
        ("Host: one.example:80", "one.example"),
        ("Host: one.example.", "one.example"),
        ("Host: one.example:8080", "one.example:8080"),
        ("Host: two.example\r\nX: one.example", "two.example"),
        ("host:one.example", "one.example"),
    ],
)
def test_the_server_of_a_request_is_read(fields: str, server: str) -> None:
    """E4."""
    assert find_server(f"GET / HTTP/1.1\r\n{fields}\r\n\r\n".encode(), 80) == server


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: one.example\r\nHost: one.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : one.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: one.example\r\n X: y\r\nHost: two.example\r\n\r\n",
        "GET http://two.example/ HTTP/1.1\r\nHost: one.example\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: one.example\r\nContent-Length: 1\r\n"
        "Transfer-Encoding: chunked\r\n\r\n",
        "GET http://one.example@two.example/ HTTP/1.1\r\nHost: one.example\r\n\r\n",
        "CONNECT one.example:80 HTTP/1.1\r\nHost: one.example\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /" + "x" * 70000,
    ],
)
def test_a_request_for_no_server_or_two_is_refused(request_: str) -> None:
    """E4."""
    with pytest.raises(NotHttp):
        find_server(request_.encode(), 80)


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: two.example\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: two.example\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\nHost: two.example\r\n\r\n",
        b"GET /" + b"x" * HEAD_MAX,
        b"\r\n" * HEAD_MAX,
    ],
)
def test_what_only_a_lenient_server_takes_for_a_request_is_refused_at_any_port(
    beginning: bytes,
) -> None:
    """E2, E4: nor is more than a head kept until it is known what it is."""
    with pytest.raises(Refused):
        is_judged(beginning, flow_to(8080))


@pytest.mark.parametrize(
    "beginning", [b"SSH-2.0-x\r\n", b"HELO one.example\r\n", b"*1\r\n$4\r\nPING\r\n", b"\0\1"]
)
def test_other_protocols_pass_at_other_ports(beginning: bytes) -> None:
    assert is_judged(beginning, flow_to(8080))


@pytest.mark.parametrize("beginning", [REQUEST, b"SSH-2.0-x\r\n", HELLO.replace(b"one", b"two")])
def test_a_host_of_a_secret_gets_nothing_but_tls_at_its_port(beginning: bytes) -> None:
    """G6, E4: as all hosts at port 443."""
    secret = Secret(name="TOKEN", value="value", hosts=("one.example:8080",))
    assert is_judged(HELLO, flow_to(8080, secret))
    with pytest.raises(Refused, match=r"^(not TLS|TLS for two\.example)$"):
        is_judged(beginning, flow_to(8080, secret))


def test_a_body_is_passed_on_and_nothing_after_it() -> None:
    """E4: whatever a server would take for a second request."""
    second = b"GET / HTTP/1.1\r\nHost: two.example\r\n\r\n"
    chunked = (
        b"POST / HTTP/1.1\r\nHost: one.example\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\n\r\n"
    )
    for request in (REQUEST, chunked):
        rewriter, written, is_done = Rewriter(), b"", False
        for at in range(len(request)):
            assert not is_done
            piece, is_done = rewriter.feed(request[at : at + 1])
            written += piece
        assert is_done
        assert written.count(b"HTTP/1.1") == 1
        body = written.partition(b"\r\n\r\n")[2]
        assert bytes(each for each in body if each in b"abc") == b"abc"
        assert Rewriter().feed(request + second)[0].count(b"HTTP/1.1") == 1


def test_what_a_guest_says_does_nothing_to_a_terminal() -> None:
    """It is in the reasons of refusals."""
    with pytest.raises(Refused) as caught:
        is_judged(hello_of((0, server_name(b"\x1b]0;x\x07" + b"y" * 500))), flow_to(443))
    assert caught.value.why.startswith("TLS for ?]0;x?yyy")
    assert len(caught.value.why) == WHY_MAX


def test_a_request_is_refused_by_its_reason_also_if_its_client_is_gone() -> None:
    """I6: it is in the log, whether or not somebody reads the answer."""
    rules = policy("allow one.example")
    flow = Flow(Target("one.example", IPv4Address("198.18.7.7"), 80), rules)
    client, guest = socket.socketpair()
    with client, guest:
        client.setblocking(False)
        guest.sendall(b"GET / HTTP/1.1\r\nHost: two.example\r\n\r\n")
        guest.close()
        with pytest.raises(Refused, match=r"HTTP for two\.example"):
            asyncio.run(read_first(client, flow))


class Scarce(socket.socket):
    """One that gives a connection at the second try, as if descriptors had been scarce."""

    tries = 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.tries += 1
        if self.tries == 1:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


def test_a_connection_that_cannot_be_accepted_ends_no_port() -> None:
    """E2."""
    with Scarce() as listener, socket.socket() as guest:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        guest.connect(listener.getsockname())
        with asyncio.run(accept(listener)) as client:
            assert client.getpeername() == guest.getsockname()
    assert listener.tries == 2


def test_refusals_are_counted_and_bounded() -> None:
    """A guest that tries many names takes the place of its own."""
    denials = Denials()
    for number in range(2 * DENIALS_MAX):
        denials.note(Refused(f"n{number}.example", ""), now=number)
        denials.note(Refused("one.example", "", can_allow=True), now=number)
    listed = denials.list()
    assert len(listed) == DENIALS_MAX
    assert listed[-1] == ("one.example", 2 * DENIALS_MAX, 2 * DENIALS_MAX - 1, True, "")
