"""What `banger doctor` says about the bridge, where it was set up or VMs are to have it.

Read-only (hazard B8): the helper is asked what it serves, and what becomes of what it forwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from banger.doctor.programs import Check, CheckState
from banger.errors import BangerError
from banger.network.bridge.addresses import BRIDGE, DNS_SOCKETS
from banger.network.bridge.firewalls import Firewall
from banger.network.bridge.install import PROGRAM, build_program
from banger.network.bridge.process import SET_UP, describe_network, find_firewall
from banger.network.bridge.wire import SOCKET
from banger.settings import Settings

REMEDIES = {
    Firewall.DOCKER: f"sudo iptables -I DOCKER-USER -i {BRIDGE} -j ACCEPT && sudo iptables "
    f"-I DOCKER-USER -o {BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    Firewall.UFW: f"sudo ufw route allow in on {BRIDGE} "
    f"&& sudo ufw allow in on {BRIDGE} to any port {DNS_SOCKETS}",
    Firewall.FIREWALLD: f"sudo firewall-cmd --permanent --zone=trusted --add-interface={BRIDGE} "
    "&& sudo firewall-cmd --reload",
    Firewall.OTHER: "sudo nft list ruleset",
}
"""What lets the bridge's guests out, to each other where br_netfilter is loaded, and ask the host
for names. Our own rules still judge them."""


def probe_bridge(
    settings: Settings, *, socket: str = SOCKET, program: Path = PROGRAM
) -> Iterator[Check]:
    """Yield a check if there is something to say of a bridge."""
    if settings.network != "bridge" and not program.exists():
        return
    try:
        network = describe_network(socket).network
        firewall = find_firewall(socket)
    except BangerError as error:
        yield Check("bridge", CheckState.WARN, error.message, error.hint)
        return
    if not program.exists() or program.read_bytes() != build_program():
        fact = "The bridge's helper is from another release of banger."
        yield Check("bridge", CheckState.WARN, fact, SET_UP)
    elif firewall is not Firewall.NONE:
        fact = f"{BRIDGE} exists, but another firewall on this host drops its VMs' traffic."
        yield Check("bridge", CheckState.WARN, fact, REMEDIES[firewall])
    else:
        yield Check("bridge", CheckState.OK, f"VMs can join {BRIDGE}, {network}.")
