"""The network of guests in Firecracker: a TAP in a namespace of the VM's own, the filter."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator

from tests.kvm.machine import ADDRESS, HOME, USER, Host
from tests.kvm.vms import Scenario, banger, small

PORT = 8100
OUT_BYTES, IN_BYTES = 2_000_000, 5_000_000
WITH_NETWORK = (
    *("--driver", "firecracker", "--network", "user"),
    *("--allow", f"{ADDRESS}:{PORT}"),
)

SERVER = f"""\
import hashlib, socket, sys
with socket.create_server(("0.0.0.0", {PORT})) as server:
    print("listens", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            line = b""
            while not line.endswith(b"\\n"):
                line += connection.recv(1)
            if line == b"give\\n":
                connection.sendall(bytes(range(250)) * ({IN_BYTES} // 250))
                continue
            digest, left = hashlib.sha256(), {OUT_BYTES}
            while left and (chunk := connection.recv(min(left, 65536))):
                digest.update(chunk)
                left -= len(chunk)
            connection.sendall(digest.hexdigest().encode() + b"\\n")
"""
OPEN = "exec 3<>/dev/tcp/{}/{}"
TAKE = f"{OPEN.format(ADDRESS, PORT)}; echo give >&3; sha256sum <&3"
GIVE = (
    f"head -c {OUT_BYTES} /dev/urandom >/dev/shm/bytes; {OPEN.format(ADDRESS, PORT)}; "
    "{ echo take; cat /dev/shm/bytes; } >&3; read -r there <&3; "
    "read -r here _ < <(sha256sum </dev/shm/bytes); echo $there $here"
)


async def firecracker_has_a_network(host: Host) -> None:
    """E4, E5: three clones and a fork have theirs at once, all bytes both ways; not to the host."""
    names = ["net-1", "net-2", "net-3"]
    async with _serving(host):
        for name in names:
            ended = await banger(host, "vm", "create", "--name", name, *small(host), *WITH_NETWORK)
            assert "notice" not in ended.err, ended.err
        await _look_at_processes(host, len(names))
        expected = hashlib.sha256(bytes(range(250)) * (IN_BYTES // 250)).hexdigest()
        macs = set()
        for name in names:
            assert (await _bash(host, name, TAKE)).split()[0] == expected, name
            there, here = (await _bash(host, name, GIVE)).split()
            assert there == here, name
            macs.add(await _bash(host, name, "cat /sys/class/net/eth0/address"))
            for closed in ("10.0.2.2", "127.0.0.1"):
                attempt = f"timeout 3 bash -c '{OPEN.format(closed, PORT)}'"
                refused = await host.banger("vm", "exec", name, "--", "bash", "-c", attempt)
                assert refused.status != 0, (name, closed)
        assert len(macs) == len(names), macs
        await banger(host, "vm", "fork", names[0], "--name", "net-fork")
        assert (await _bash(host, "net-fork", TAKE)).split()[0] == expected
    await banger(host, "vm", "delete", *names, "net-fork")
    left = await host.root(f"pgrep -u {USER} 'slirp4netns|passt|banger-egress'")
    assert left.status == 1, left


async def _look_at_processes(host: Host, count: int) -> None:
    processes = (await host.root(f"ps -u {USER} -o args= -ww")).expect().out.splitlines()
    jails = [line for line in processes if "bwrap" in line.split()[0] and "--api-sock" in line]
    assert len(jails) == count, processes
    assert all("--unshare-net" not in jail for jail in jails), jails
    assert all("--dev-bind /dev/net/tun /dev/net/tun" in jail for jail in jails), jails
    each = "for p in $(pgrep firecracker); do readlink /proc/$p/ns/net; done"
    namespaces = f"{each}; readlink /proc/1/ns/net"
    found = (await host.root(namespaces)).expect().out.split()
    assert len(set(found)) == count + 1, found


@contextlib.asynccontextmanager
async def _serving(host: Host) -> AsyncIterator[None]:
    script = f"cat >{HOME}/bytes.py <<'END'\n{SERVER}END\n"
    start = f"setsid python3 {HOME}/bytes.py >{HOME}/bytes.out 2>&1 </dev/null & echo $!"
    pid = int((await host.shell(script + start)).expect().out)
    try:
        wait = f"timeout 60 sh -c 'until grep -q listens {HOME}/bytes.out; do sleep 0.1; done'"
        (await host.shell(wait)).expect()
        yield
    finally:
        await host.shell(f"kill {pid}")


async def _bash(host: Host, vm: str, script: str) -> str:
    return (await banger(host, "vm", "exec", vm, "--", "bash", "-c", script)).out.strip()


SCENARIOS: tuple[Scenario, ...] = ((firecracker_has_a_network,),)
