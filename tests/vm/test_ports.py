"""What listens in a guest, reached from the host at the VM's own address."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.installations import Installation, finish, wait_for
from tests.support.loopbacks import free_front_port, free_udp_port
from tests.support.vms import TINY

SERVER = """
use Socket qw(:all);
my ($host, $port, $says) = @ARGV;
my $is_v6 = $host =~ /:/;
socket(my $server, $is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0) or die;
setsockopt($server, SOL_SOCKET, SO_REUSEADDR, 1);
setsockopt($server, IPPROTO_IPV6, IPV6_V6ONLY, 1) if $is_v6;
my $packed = inet_pton($is_v6 ? AF_INET6 : AF_INET, $host);
bind($server, $is_v6 ? pack_sockaddr_in6($port, $packed) : pack_sockaddr_in($port, $packed)) or die;
listen($server, 50) or die;
while (accept(my $client, $server)) {
    open(my $file, "<", "/proc/sys/kernel/hostname");
    chomp(my $name = <$file>);
    sysread($client, my $asked, 4096) if $says;
    syswrite $client, $says . $name;
    close $client;
}
"""
"""Says its host's name to each client: in Perl, which the smallest image has."""


DATAGRAM_SERVER = """
use Socket qw(:all);
socket(my $server, AF_INET6, SOCK_DGRAM, 0) or die;
setsockopt($server, IPPROTO_IPV6, IPV6_V6ONLY, 1);
bind($server, pack_sockaddr_in6(53, inet_pton(AF_INET6, "::1"))) or die;
while (my $client = recv($server, my $words, 65536, 0)) { send($server, uc $words, 0, $client) }
"""
"""Shouts each datagram back, on port 53 of the loopback of IPv6 alone."""
SOCKET_SERVER = """
use Socket qw(:all);
socket(my $server, AF_UNIX, SOCK_STREAM, 0) or die;
unlink "/run/app.sock";
bind($server, pack_sockaddr_un("/run/app.sock")) or die;
listen($server, 50) or die;
while (accept(my $client, $server)) {
    local $/;
    my $words = <$client>;
    print $client uc $words;
    close $client;
}
"""
"""Shouts back what a client has said when it has said its last word."""


def serve(banger: Installation, vm: str, host: str, port: int, *, says: str = "") -> None:
    """Start the server in a guest, for as long as the guest runs; `says`: before the name,
    in answer to what a client has said."""
    banger.do("vm", "exec", "-d", vm, "--", "perl", "-e", SERVER, host, str(port), says)


def ports_of(banger: Installation, vm: str) -> dict[int, dict[str, Any]]:
    return {each["port"]: each for each in banger.ports(vm)}


def ask(address: str, port: int) -> str:
    """Return what a server says at an address of the host, or why it says nothing."""
    try:
        with socket.create_connection((address, port), timeout=60) as client:
            return client.makefile().read()
    except OSError as error:
        return type(error).__name__


def wait_until_said(address: str, port: int, said: str) -> None:
    wait_for(lambda: ask(address, port) == said, f"{said} at {address}:{port}")


@contextmanager
def web_server(banger: Installation, vm: str, *options: str) -> Iterator[None]:
    """Python's web server in a guest."""
    command = ("python3", "-m", "http.server", *options)
    server = banger.start("vm", "exec", "-t", vm, "--", *command)
    try:
        yield
    finally:
        server.terminate()
        finish(server)


def test_a_web_server_is_reached_by_curl(banger: Installation, system: str) -> None:
    """I1: on the guest's loopback only; under the same number; and gone when the server is."""
    address = banger.vm(system)["address"]
    url = f"http://{address}:8123/etc/hostname"
    curl = ("curl", "-sS", "--max-time", "60", url)
    with web_server(banger, system, "8123", "--bind", "127.0.0.1", "-d", "/"):
        wait_for(lambda: 8123 in ports_of(banger, system), "the server")
        wait_for(lambda: ports_of(banger, system)[8123]["state"] == "open", "its port")
        done = subprocess.run(curl, capture_output=True, text=True, timeout=90, check=True)
        assert done.stdout.strip() == system
        told = {key: ports_of(banger, system)[8123][key] for key in ("host_address", "host_port")}
        assert told == {"host_address": address, "host_port": 8123}
        assert f"{address}:8123" in banger.do("vm", "ports", system).out.decode()
    wait_until_said(address, 8123, "ConnectionRefusedError")
    assert 8123 not in ports_of(banger, system)


def test_a_server_on_ipv6_alone_is_reached(banger: Installation, tiny: str) -> None:
    """I1, I2."""
    serve(banger, tiny, "::1", 8124)
    wait_until_said(banger.vm(tiny)["address"], 8124, tiny)


def test_a_port_that_is_kept_for_root_appears_higher(banger: Installation, system: str) -> None:
    """The guest's own sshd: 22 at 10022, which is told."""
    address = banger.vm(system)["address"]
    wait_for(lambda: ports_of(banger, system)[22]["state"] == "open", "the port of sshd")
    found = ports_of(banger, system)[22]
    assert (found["host_address"], found["host_port"]) == (address, 10022)
    with socket.create_connection((address, 10022), timeout=60) as client:
        assert client.makefile().readline().startswith("SSH-2.0-")


def test_a_vm_keeps_its_address_and_its_ports_follow_it(own: Installation) -> None:
    """C6, I3, B11: two VMs with one port; paused, daemon killed, deleted."""
    for vm in ("one", "two"):
        own.do("vm", "create", "--name", vm, "--network", "none", *TINY)
        serve(own, vm, "0.0.0.0", 8000)
    one, two = (own.vm(vm)["address"] for vm in ("one", "two"))
    assert one != two and own.vm("one")["guest_address"] is None
    wait_until_said(one, 8000, "one")
    wait_until_said(two, 8000, "two")

    own.kill_daemon()
    wait_until_said(one, 8000, "ConnectionRefusedError")
    assert own.vm("one")["address"] == one  # starts another daemon
    wait_until_said(one, 8000, "one")

    own.do("vm", "pause", "one")
    with socket.create_connection((one, 8000), timeout=60) as waiting:
        own.do("vm", "resume", "one")
        assert waiting.makefile().read() == "one"

    fork = own.do("vm", "fork", "two", "-q").text
    assert own.vm(fork)["address"] not in (one, two)
    wait_until_said(own.vm(fork)["address"], 8000, own.vm(fork)["name"])

    own.do("vm", "delete", "one")
    wait_until_said(one, 8000, "ConnectionRefusedError")
    assert ask(two, 8000) == "two"


def test_a_port_that_the_host_uses_is_explained_and_tried_again(own: Installation) -> None:
    """C6: with the process that has it; it appears when the port is free."""
    own.do("vm", "create", "--name", "one", *TINY)
    address = own.vm("one")["address"]
    with socket.create_server((address, 8000)):
        serve(own, "one", "127.0.0.1", 8000)
        wait_for(lambda: ports_of(own, "one").get(8000, {}).get("state") == "blocked", "a block")
        notice = ports_of(own, "one")[8000]["notice"]
        assert f"(pid {os.getpid()}) listens at {address}:8000" in notice
        assert notice in own.do("vm", "ports", "one").err
    wait_until_said(address, 8000, "one")
    assert json.loads(own.do("vm", "ports", "one", "--json").out)[0]["notice"] is None


def test_a_claimed_clone_gets_an_address(own: Installation) -> None:
    """C6: with its user; while it waits it has none."""
    own.environ |= {"BANGER_TEMPLATE_ENABLED": "on", "BANGER_TEMPLATE_POOL": "1"}
    for _ in range(2):
        own.do("vm", "run", "--rm", *TINY, "--", "true")
    wait_for(lambda: "paused" in own.prepared().values(), "a clone that waits")
    (waiting,) = own.prepared()
    with own.database() as rows:
        assert rows.execute("SELECT * FROM allocations").fetchall() == []
    own.do("vm", "create", "--name", "claimed", *TINY)
    assert own.vm("claimed")["id"] == waiting
    serve(own, "claimed", "127.0.0.1", 8000)
    wait_until_said(own.vm("claimed")["address"], 8000, "claimed")


def test_a_guest_does_not_reach_what_another_shows_to_the_host(
    banger: Installation, system: str, tiny: str
) -> None:
    """E4: the address of a VM is the host's loopback."""
    serve(banger, tiny, "0.0.0.0", 8125)
    address = banger.vm(tiny)["address"]
    wait_until_said(address, 8125, tiny)
    client = "import socket, sys; socket.create_connection((sys.argv[1], 8125), 5)"
    ended = banger.exec(system, "python3", "-c", client, address)
    assert ended.status == 1 and "Error" in ended.err


def test_a_published_port_is_kept_with_its_vm(own: Installation) -> None:
    """I3, B11: over the daemon's death; a fork has none; it dies with the VM."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = own.run("vm", "create", "-p", f"{port}:8000", *TINY)
        assert refused.status == 5 and f"listens at 127.0.0.1:{port}" in refused.err
        assert own.vms() == []
    own.do("vm", "create", "--name", "one", "-p", f"{port}:8000", *TINY)
    serve(own, "one", "127.0.0.1", 8000)
    wait_until_said("127.0.0.1", port, "one")
    own.kill_daemon()
    own.do("vm", "list")
    wait_until_said("127.0.0.1", port, "one")
    fork = own.do("vm", "fork", "one", "-q").text
    assert own.json("vm", "port", "list", fork) == []
    other = own.run("vm", "port", "add", fork, f"{port}:8000")
    assert other.status == 5 and f"The VM one already publishes 127.0.0.1:{port}." in other.err

    own.do("vm", "port", "rm", "one", str(port))
    wait_until_said("127.0.0.1", port, "ConnectionRefusedError")
    assert own.do("vm", "port", "add", "one", f"{port}:8000").text == f"127.0.0.1:{port}"
    assert ask("127.0.0.1", port) == "one"
    own.do("vm", "delete", "one")
    wait_until_said("127.0.0.1", port, "ConnectionRefusedError")
    own.do("vm", "port", "add", fork, f"{port}:8000")
    wait_until_said("127.0.0.1", port, own.vm(fork)["name"])


def shout(path: Path) -> bytes:
    """Return what is said back at a socket of the host."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        try:
            client.connect(str(path))
            client.sendall(b"half-close")
            client.shutdown(socket.SHUT_WR)
            return client.makefile("rb").read()
        except OSError as error:
            return type(error).__name__.encode()


def shout_by_datagram(port: int) -> bytes | None:
    """Return the answer to a datagram, or None if it or the answer is lost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", port))
        try:
            client.send(b"who is it")
            return client.recv(100)
        except OSError:
            return None


def serve_and_shout(banger: Installation, path: Path, port: int) -> None:
    """Start both servers in the guest, and wait for their answers."""
    for server in (SOCKET_SERVER, DATAGRAM_SERVER):
        banger.do("vm", "exec", "-d", "one", "--", "perl", "-e", server)
    wait_for(lambda: shout(path) == b"HALF-CLOSE", "the socket")
    wait_for(lambda: shout_by_datagram(port) == b"WHO IS IT", "an answer")


def test_datagrams_and_sockets_are_published_with_their_vm(
    own: Installation, tmp_path: Path
) -> None:
    """I1, I3, G1, B11: over the daemon's death; nothing is left behind."""
    path, port = tmp_path / "app.sock", free_udp_port()
    published = ("-p", f"{path}:/run/app.sock", "-p", f"{port}:53/udp")
    own.do("vm", "create", "--name", "one", "--network", "none", *published, *TINY)
    serve_and_shout(own, path, port)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    found = [each for each in own.json("vm", "ports", "one") if each["is_published"]]
    assert [(each["protocol"], each["port"], each["path"], each["state"]) for each in found] == [
        ("udp", 53, None, "open"),
        ("unix", None, "/run/app.sock", "open"),
    ]
    assert (found[0]["host_address"], found[0]["host_port"]) == ("127.0.0.1", port)
    assert found[1]["host_path"] == str(path)
    for vms in (["one"], []):
        assert own.do("vm", "port", "list", "-q", *vms).text.split() == [
            f"127.0.0.1:{port}/udp",
            str(path),
        ]

    own.kill_daemon()
    # Its last thread closes the socket, a moment after the process looks dead.
    wait_for(lambda: shout(path) == b"ConnectionRefusedError", "the end of the socket")
    assert str(path) in own.do("vm", "port", "list", "one").out.decode()  # starts another daemon
    wait_for(lambda: shout(path) == b"HALF-CLOSE", "the socket")
    wait_for(lambda: shout_by_datagram(port) == b"WHO IS IT", "an answer")

    with_path = own.run("vm", "create", "--name", "two", "-p", f"{path}:80", *TINY)
    assert with_path.status == 5 and f"The VM one already publishes {path}." in with_path.err
    own.do("vm", "port", "rm", "one", f"{port}/udp")
    assert own.do("vm", "port", "list", "-q", "one").text == str(path)
    own.do("vm", "delete", "one")
    wait_for(lambda: not path.exists(), "the end of the socket's file")


def test_all_that_is_published_follows_a_stop_and_a_start(
    own: Installation, tmp_path: Path
) -> None:
    """C6, I3: ports, datagrams and sockets, and what appears by itself at the VM's address."""
    path, tcp, udp = tmp_path / "app.sock", free_front_port(), free_udp_port()
    published = ("-p", f"{tcp}:8000", "-p", f"{path}:/run/app.sock", "-p", f"{udp}:53/udp")
    own.do("vm", "create", "--name", "one", *published, *TINY)
    address = own.vm("one")["address"]
    places = [(address, 8000), ("127.0.0.1", tcp)]
    serve(own, "one", "0.0.0.0", 8000)
    serve_and_shout(own, path, udp)
    for place in places:
        wait_until_said(*place, "one")

    own.do("vm", "stop", "one")
    for place in places:
        wait_until_said(*place, "ConnectionRefusedError")
    wait_for(lambda: not path.exists(), "the end of the socket's file")
    assert {each["state"] for each in own.json("vm", "port", "list", "one")} == {"closed"}
    assert own.vm("one")["address"] == address

    own.do("vm", "start", "one")
    assert own.vm("one")["address"] == address
    serve(own, "one", "::1", 8000)
    serve_and_shout(own, path, udp)
    for place in places:
        wait_until_said(*place, "one")
