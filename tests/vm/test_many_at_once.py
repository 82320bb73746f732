"""Many commands and connections of one VM at once: none fails for want of room."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from banger import Client
from tests.support.installations import Installation, wait_for

COMMANDS = 100
CONNECTIONS = 200
PORT = 8177

HOLDER = f"""
use Socket qw(:all);
socket(my $server, AF_INET, SOCK_STREAM, 0) or die;
setsockopt($server, SOL_SOCKET, SO_REUSEADDR, 1);
bind($server, pack_sockaddr_in({PORT}, inet_pton(AF_INET, "127.0.0.1"))) or die;
listen($server, 50) or die;
my @held;
while (accept(my $client, $server)) {{
    push @held, $client;
    syswrite $client, "held\\n";
}}
"""
"""Greets each client and keeps its connection."""


WAITER = "trap 'kill $!; exit {status}' TERM; sleep 3600 & echo $$; wait"
"""Says its number and ends with a status of its own when it is told to; costs no CPU meanwhile."""


def test_a_hundred_commands_at_once(banger: Installation, tiny: str) -> None:
    """H1, H7: each begins while all that began before it still run."""
    vm = Client().get(tiny)
    with ExitStack() as stack:
        commands = [
            stack.enter_context(vm.popen(["sh", "-c", WAITER.format(status=number)]))
            for number in range(COMMANDS)
        ]
        pids = [next(iter(command))[1].decode().strip() for command in commands]
        banger.exec(tiny, "sh", "-c", f"kill -TERM {' '.join(pids)}", status=0)
        assert [command.wait() for command in commands] == list(range(COMMANDS))


def test_commands_run_while_hundreds_of_connections_are_open(
    banger: Installation, tiny: str
) -> None:
    """As many tabs of a browser: they starve no command, and end with their clients."""
    server = banger.do("vm", "exec", "-d", tiny, "--", "perl", "-e", HOLDER).text
    address = banger.vm(tiny)["address"]

    def is_open() -> bool:
        ports = banger.json("vm", "ports", tiny)
        return any(each["port"] == PORT and each["state"] == "open" for each in ports)

    wait_for(is_open, "the server's port")
    with ExitStack() as stack:
        clients = []
        for _ in range(CONNECTIONS):
            client = stack.enter_context(socket.create_connection((address, PORT), timeout=60))
            assert client.recv(5) == b"held\n"
            clients.append(client)
        for number in range(3):
            assert banger.exec(tiny, "echo", str(number), status=0).text == str(number)
        banger.do("vm", "session", "kill", tiny, server)
        for client in clients:
            assert client.recv(1) == b""
