"""The programs of a user network, against golden files; the interface that guests are told."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.host.attachments import AttachmentKind
from banger.model.names import VmId, format_vm_id
from banger.network.bridge.addresses import NETWORK6
from banger.network.egress.process import plan_egress_filter
from banger.network.port import format_mac
from banger.network.user.argv import (
    plan_egress_proxy,
    plan_passt,
    plan_proxy_jail,
    plan_slirp,
    plan_slirp_jail,
)
from banger.network.user.kind import NETWORK
from banger.network.user.proxy.view import find_configuration
from tests.support.golden import check_golden

GOLDEN = Path(__file__).parent / "golden"
VM = VmId("0123456789ab")
LOG = Path("/home/u/s/vms/0123456789ab/network.log")


def test_passt_arguments_are_the_golden_ones() -> None:
    """E4: no way in, IPv4 only."""
    argv = plan_passt(
        NETWORK.plan_interface(VM), binary="/usr/bin/passt", descriptor=7, log_file=LOG
    )
    check_golden(GOLDEN / "passt.txt", "".join(f"{word}\n" for word in argv))


def test_slirp4netns_arguments_are_the_golden_ones() -> None:
    """E4, E5: no way in, no IPv6, nothing of the host's files."""
    jail = plan_slirp_jail(
        "/usr/bin/bwrap",
        "/usr/bin/slirp4netns",
        shown_as=f"{LOG.parent}/slirp4netns",
        directory=LOG.parent / "slirp",
    )
    argv = plan_slirp(f"{LOG.parent}/slirp4netns", NETWORK.plan_interface(VM), path="s", lifeline=7)
    check_golden(GOLDEN / "slirp4netns.txt", "".join(f"{word}\n" for word in [*jail, *argv]))


def test_egress_proxy_arguments_are_the_golden_ones() -> None:
    """E4, E5: one file to write to, no environment, one capability in the back end's namespace."""
    jail = plan_proxy_jail(
        "/usr/bin/bwrap",
        users=5,
        shown=[("/etc", "/etc"), ("/home/u/p/banger", "/packages/banger")],
        variables={"PYTHONPATH": "/packages"},
        empty=9,
    )
    argv = plan_egress_proxy("/usr/bin/python3", sockets=6, inside=7, control=8, label=LOG)
    check_golden(GOLDEN / "egress-proxy.txt", "".join(f"{word}\n" for word in [*jail, *argv]))


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/run/systemd/resolve/stub-resolv.conf", ["/run/systemd/resolve"]),
        ("/run/resolv.conf", ["/run/resolv.conf"]),
        ("/mnt/wsl/resolv.conf", ["/mnt/wsl/resolv.conf"]),
        ("/etc/resolvconf/run/resolv.conf", []),
    ],
)
def test_the_resolvers_configuration_is_shown_where_it_is(
    target: str, shown: list[str], tmp_path: Path
) -> None:
    """E5: with its directory, in which it is replaced, if that is the system's own."""
    (tmp_path / "resolv.conf").symlink_to(target)
    assert list(find_configuration(str(tmp_path / "resolv.conf"))) == shown


def test_the_addresses_that_slirp4netns_gives_itself_are_the_interfaces() -> None:
    """It takes the second and third of its network."""
    interface = NETWORK.plan_interface(VM)
    argv = plan_slirp("p", interface, path="s", lifeline=7)
    (network,) = (word.partition("=")[2] for word in argv if word.startswith("--cidr="))
    own = list(ipaddress.ip_network(network).hosts())[1:3]
    assert [str(address) for address in own] == [interface.gateway, *interface.dns]


@pytest.mark.parametrize("attachment", list(AttachmentKind))
def test_egress_filter_arguments_are_the_golden_ones(attachment: AttachmentKind) -> None:
    argv = plan_egress_filter(
        Path("/p/banger-egress-filter"),
        guest=7,
        world=8,
        control=9,
        attachment=attachment,
        label=LOG,
    )
    golden = GOLDEN / f"egress-filter-{attachment}.txt"
    check_golden(golden, "".join(f"{word}\n" for word in argv))


def test_an_egress_filter_is_told_of_the_networks_ipv6() -> None:
    argv = plan_egress_filter(
        Path("p"),
        guest=7,
        world=8,
        control=9,
        attachment=AttachmentKind.SOCKET,
        label=LOG,
        network6=NETWORK6,
    )
    assert argv[6:] == ["fd62616e67657200"]


def test_every_address_of_the_interface_is_in_its_network() -> None:
    interface = NETWORK.plan_interface(VM)
    network = ipaddress.ip_interface(f"{interface.address}/{interface.prefix}").network
    for address in (interface.gateway, *interface.dns):
        assert ipaddress.ip_address(address) in network
        assert address != interface.address


@given(st.binary(min_size=6, max_size=6), st.binary(min_size=6, max_size=6))
def test_a_mac_is_the_vms_own_and_locally_administered(one: bytes, other: bytes) -> None:
    """D2: two VMs never share a MAC (as far as 40 bits of a hash tell them apart)."""
    macs = [format_mac(format_vm_id(each)) for each in (one, other)]
    assert (macs[0] == macs[1]) == (one == other)
    first = int(macs[0].split(":")[0], 16)
    assert first & 2, "locally administered"
    assert not first & 1, "not multicast"
