"""VMs on a bridge, of a host that is a network namespace."""

from __future__ import annotations

from banger.client import Client
from tests.support.installations import Installation
from tests.support.vms import TINY_IMAGE

PROGRAM = "tests.vm.bridged_daemon"
ADDRESSES = ("guest_address", "guest_address6")
SERVE = """perl -MSocket=:all -e '
socket($listener, AF_INET6, SOCK_STREAM, 0) or die;
bind($listener, pack_sockaddr_in6(7000, IN6ADDR_ANY)) or die;
listen($listener, 5) or die;
exit if fork;
($port, $address) = unpack_sockaddr_in6(accept($client, $listener));
syswrite $client, "heard " . inet_ntop(AF_INET6, $address);
' </dev/null >/dev/null 2>&1
"""
PATIENCE = "RES_OPTIONS=timeout:30 attempts:5"
"""For answers to queries (resolv.conf(5))."""
SAY = """
PLACE: for $place (@ARGV) {
    ($error, $found) = getaddrinfo($place, 7000, {socktype => SOCK_STREAM});
    until (socket($server, $$found{family}, SOCK_STREAM, 0) and connect($server, $$found{addr})) {
        $!{EHOSTUNREACH} or print("$error$!\\n"), next PLACE; # or a neighbour is slow to answer
    }
    print <$server>, "\\n";
}
"""
HOST = ("10.77.0.1", "fd62:616e:6765:7200::a4d:1")


def run(own: Installation, *argv: str) -> list[str]:
    """Run a program in a VM; return the lines that it prints."""
    return own.exec("one", "env", PATIENCE, *argv, status=0).text.splitlines()


def test_a_vm_and_its_forks_reach_each_other_by_name_at_addresses_of_their_own(
    own: Installation,
) -> None:
    """C6, D1: frames with another would not arrive. They begin nothing with their host (E4)."""
    request = {"name": "one", "image": TINY_IMAGE, "vcpu": 1, "memory_mib": 256, "disk_mib": 1024}
    socket = str(own.layout.state / "helper")
    with own.special_daemon(socket, program=PROGRAM):
        with Client(own.layout) as client:
            client.call("vm.create", request | {"network": "bridge", "template": False})
        own.exec("one", "sh", "-c", SERVE, status=0)  # so the forks have a server too
        forks = own.do("vm", "fork", "one", "-n", "2", "-q").text.split()
        one, first, second = vms = [own.vm(name) for name in ("one", *forks)]
        assert len({vm[kind] for vm in vms for kind in ADDRESSES}) == 6
        found = run(own, "getent", "ahostsv6", f"{second['name']}.vm")
        assert found[0].split()[0] == second["guest_address6"]
        places = (f"{first['name']}.vm", second["guest_address6"], *HOST)
        by_name, by_address, *by_host = run(own, "perl", "-MSocket=:all", "-e", SAY, *places)
        heard = f"heard {one['guest_address6']}"
        assert by_name in (heard, f"heard ::ffff:{one['guest_address']}")
        assert by_address == heard
        assert by_host == ["Connection refused"] * 2
        for vm in vms:
            own.do("vm", "delete", vm["name"])
        assert own.vm_processes() == []
