"""Bytes and connections through a VM's ports against what its agent can pass on."""

from __future__ import annotations

import socket
import time

from tests.bench.result import Result
from tests.bench.stage import BANGER, Stage

BYTES = 32 * 1000 * 1000
SAMPLES = 5
CONNECTIONS = 50
PORT = 8000
SERVER = """
use Socket qw(:all);
socket(my $server, AF_INET, SOCK_STREAM, 0) or die;
bind($server, pack_sockaddr_in($ARGV[0], INADDR_LOOPBACK)) or die;
listen($server, 50) or die;
my $zeros = "\\0" x 65536;
while (accept(my $client, $server)) {
    for (my $left = <$client>; $left > 0; ) {
        $left -= syswrite $client, $zeros, $left < 65536 ? $left : 65536 or last;
    }
    close $client;
}
"""
"""Sends as many zeros as a client asks for."""


def measure_ports(stage: Stage) -> Result:
    """A forward from a server in the guest, against the same bytes through `vm exec -- head`."""
    samples: dict[str, list[float]] = {"exec": [], "forward": [], "exec true": [], "connect": []}
    with stage.vm() as name:
        stage.banger("vm", "exec", "-d", name, "--", "perl", "-e", SERVER, str(PORT))
        address = _wait_for_port(stage, name)
        execute = [BANGER, "vm", "exec", name, "--"]
        for _ in range(SAMPLES):
            samples["exec"].append(stage.time([*execute, "head", "-c", str(BYTES), "/dev/zero"]))
            samples["forward"].append(_fetch(address, BYTES))
        samples["exec true"] = stage.sample([*execute, "true"], 10)
        samples["connect"] = [_fetch(address, 1) for _ in range(CONNECTIONS)]
    result = Result("32 MB through a port", "s", samples, "forward at most 1.25x exec")
    result.figures["forward / exec"] = result.median("forward") / result.median("exec")
    result.figures["connect / exec true"] = result.median("connect") / result.median("exec true")
    return result


def _wait_for_port(stage: Stage, name: str) -> str:
    """Return the VM's address when its port is there."""
    while True:
        for found in stage.json("vm", "ports", name):
            if found["port"] == PORT and found["state"] == "open":
                return str(found["host_address"])
        time.sleep(0.2)


def _fetch(address: str, size: int) -> float:
    """Return the seconds from connecting to the last byte of an answer."""
    started = time.perf_counter()
    with socket.create_connection((address, PORT)) as client:
        client.sendall(b"%d\n" % size)
        left = size
        while data := client.recv(262144):
            left -= len(data)
    seconds = time.perf_counter() - started
    if left:
        raise RuntimeError(f"{left} of {size} bytes have not come")
    return seconds
