"""VMs on a bridge, of a host that is a network namespace."""

from __future__ import annotations

from banger.client import Client
from tests.support.installations import Installation
from tests.support.vms import TINY_IMAGE

PROGRAM = "tests.vm.bridged_daemon"
SERVE = """perl -MIO::Socket -e '
$listener = IO::Socket::INET->new(LocalPort => 7000, Listen => 5) or die;
exit if fork;
$client = $listener->accept;
print $client "heard " . <$client>;
' </dev/null >/dev/null 2>&1
"""
SAY = """perl -MIO::Socket -e '
$server = IO::Socket::INET->new("{}:7000") or print($!), exit;
print $server "hello\n";
print <$server>;
'
"""


def say(own: Installation, place: str) -> str:
    """Connect from a VM, and return what is answered."""
    return own.exec("one", "sh", "-c", SAY.format(place), status=0).text


def test_a_vm_and_its_forks_reach_each_other_by_name_at_addresses_of_their_own(
    own: Installation,
) -> None:
    """C6, D1: frames with another would not arrive. They begin nothing with their host (E4)."""
    request = {"name": "one", "image": TINY_IMAGE, "vcpu": 1, "memory_mib": 256, "disk_mib": 1024}
    socket = str(own.layout.state / "helper")
    with own.special_daemon(socket, program=PROGRAM):
        with Client(own.layout) as client:
            client.call("vm.create", request | {"network": "bridge"})
        forks = own.do("vm", "fork", "one", "-n", "2", "-q").text.split()
        addresses = {name: own.vm(name)["guest_address"] for name in ("one", *forks)}
        assert len(set(addresses.values())) == 3
        for fork in forks:
            own.exec(fork, "sh", "-c", SERVE, status=0)
            assert say(own, own.vm(fork)["name"] + ".vm") == "heard hello"
        assert say(own, "10.77.0.1") == "Connection refused"
        for name in addresses:
            own.do("vm", "delete", name)
        assert own.vm_processes() == []
