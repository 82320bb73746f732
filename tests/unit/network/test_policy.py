"""A policy as the egress filter takes it."""

from __future__ import annotations

import socket
import struct

from banger.model.egress import Egress, Profile
from banger.model.names import VmId
from banger.network.user.kind import NETWORK
from banger.network.user.policy import PRIVATE, render_policy

INTERFACE = NETWORK.plan_interface(VmId("0123456789ab"))
OWN_NETWORK = "deny any 10.0.2.0/24:0-65535"
DHCP = ["allow udp 255.255.255.255/32:67-67", "allow udp 10.0.2.2/32:67-67"]


def render(egress: Egress, *dns_protocols: str) -> list[str]:
    """Return the rules as texts."""
    policy = render_policy(egress, INTERFACE, dns_protocols=dns_protocols)
    names = {0: "any", 6: "tcp", 17: "udp"}
    return [
        f"{'allow' if allows else 'deny'} {names[protocol]} "
        f"{socket.inet_ntoa(network)}/{prefix}:{first}-{last}"
        for allows, protocol, prefix, network, first, last in struct.iter_unpack(
            "!BBBx4sHH", policy
        )
    ]


def test_public_is_everything_but_private_networks() -> None:
    assert render(Egress(), "udp") == [
        *DHCP,
        "allow udp 10.0.2.3/32:53-53",
        OWN_NETWORK,
        *(f"deny any {network}:0-65535" for network in PRIVATE),
        "allow any 0.0.0.0/0:0-65535",
    ]


def test_tcp_goes_to_the_nameserver_where_the_back_end_answers_it() -> None:
    assert "allow tcp 10.0.2.3/32:53-53" in render(Egress(), "udp", "tcp")


def test_the_hosts_loopback_is_in_no_network() -> None:
    """E4: nor in the VM's own, whose addresses mean the host to slirp4netns."""
    rules = ("allow 10.0.0.0/8", "deny host:81", "allow host:80-90/tcp")
    assert render(Egress(profile=Profile.NONE, rules=rules), "udp") == [
        *DHCP,
        "deny any 10.0.2.2/32:81-81",
        "allow tcp 10.0.2.2/32:80-90",
        OWN_NETWORK,
        "allow any 10.0.0.0/8:0-65535",
    ]
