"""VMs on a bridge, of a host that is a network namespace."""

from __future__ import annotations

from banger.client import Client
from tests.support.installations import Installation
from tests.support.vms import TINY_IMAGE

PROGRAM = "tests.vm.bridged_daemon"
ADDRESSES = ("guest_address", "guest_address6")
SERVE = """perl -MIO::Socket::IP -e '
$listener = IO::Socket::IP->new(LocalHost => "::", LocalPort => 7000, Listen => 5) or die;
exit if fork;
$client = $listener->accept;
print $client "heard " . $client->peerhost;
' </dev/null >/dev/null 2>&1
"""
SAY = """perl -MIO::Socket::IP -e '
$server = IO::Socket::IP->new(PeerHost => "{}", PeerPort => 7000) or print($!), exit;
print <$server>;
'
"""
HOST = ("10.77.0.1", "fd62:616e:6765:7200::a4d:1")


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
        one, first, second = vms = [own.vm(name) for name in ("one", *forks)]
        assert len({vm[kind] for vm in vms for kind in ADDRESSES}) == 6
        for fork, place in ((first, first["name"] + ".vm"), (second, second["guest_address6"])):
            own.exec(fork["name"], "sh", "-c", SERVE, status=0)
            assert say(own, place) == f"heard {one['guest_address6']}"
        assert {say(own, address) for address in HOST} == {"Connection refused"}
        for vm in vms:
            own.do("vm", "delete", vm["name"])
        assert own.vm_processes() == []
