"""A bridge made by its helper, with real devices and rules, in namespaces of one host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from banger.network.bridge.links import DEVICE

HERE = Path(__file__).parent
DEADLINE_S = 110.0
PYTHON = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": f"/usr/sbin:{os.environ['PATH']}"}
OWN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
IN_USE = "Another device of this host has the address 10.77.0.2."
IS_TUN_OPEN = os.access(DEVICE, os.R_OK | os.W_OK)
OTHERS = "The bridge network of this host belongs to another user."


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `bridge_host.py` found: all of it on one host, which takes a second."""
    return find("bridge_host.py", tmp_path_factory.mktemp("bridge"))


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `bridge_starts.py` found."""
    return find("bridge_starts.py", tmp_path_factory.mktemp("bridge"))


@pytest.fixture(scope="module")
def ipv6(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `bridge_ipv6.py` found."""
    return find("bridge_ipv6.py", tmp_path_factory.mktemp("bridge"))


def find(script: str, directory: Path) -> dict[str, Any]:
    done = subprocess.run(
        [*OWN_NAMESPACE, sys.executable, str(HERE / script), str(directory)],
        capture_output=True,
        text=True,
        env=PYTHON,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_guests_leave_with_the_hosts_address(found: dict[str, Any]) -> None:
    assert found["outward"] == "198.51.100.2"


def test_guests_and_their_host_reach_each_other_by_address(found: dict[str, Any]) -> None:
    assert found["between"] == "('10.77.0.2', 7000, 1, b'hello')"
    assert found["from the host"] == "heard q"


def test_a_guest_reaches_no_service_of_its_host(found: dict[str, Any]) -> None:
    """E4: at none of its addresses, although it answers what the host has begun; said at once."""
    refused = {"tcp": "reset", "udp": "icmp 3 13"}
    assert found["to the host"] == {
        f"{protocol} {address}": refused[protocol]
        for address in ("10.77.0.1", "198.51.100.2")
        for protocol in refused
    }


def test_a_guest_speaks_with_its_own_addresses_only(found: dict[str, Any]) -> None:
    """E4: neither another guest's, nor the host's, nor in another protocol."""
    assert found["spoofed"] == []


def test_nobody_outside_begins_with_a_guest(found: dict[str, Any]) -> None:
    assert found["from outside"] == "('198.51.100.1', 7000, 7001, b'198.51.100.2')"


def test_guests_ask_their_host_for_names(found: dict[str, Any]) -> None:
    """VMs' names are answered, others by the world's nameserver.

    Also to what was asked while no daemon ran, and after the helper was started again.

    E4: nobody outside is answered, and the host's other ports stay closed.
    """
    assert found["names"] == {
        "waited": "10.77.0.1 53 5300 10.77.0.3",
        "host.vm": "10.77.0.1",
        "host.vm AAAA": "fd62:616e:6765:7200::a4d:1",
        "c.vm": "code 3",
        "example.org": "198.51.100.2",
        "tcp": "answered",
        "other": "reset",
        "another helper": "10.77.0.3",
    }


def test_an_address_has_one_device_and_the_helper_one_user(found: dict[str, Any]) -> None:
    """C6, G5."""
    *refused, nobodys = found["refused"]
    assert refused == [IN_USE, IN_USE, OTHERS, OTHERS]
    assert nobodys.startswith("The bridge's helper cannot be reached: ")


def test_the_helper_does_nothing_that_is_no_request(found: dict[str, Any]) -> None:
    """G5: other lengths, verbs, and addresses that no VM has; descriptors that nobody asked for."""
    assert found["misused"] == ["-r"]


def test_a_guest_has_so_many_connections_at_once(found: dict[str, Any]) -> None:
    """E2, I6: the kernel's table of them is the whole host's; those that it has go on."""
    assert found["exhausted"] == ["icmp 3 13", "icmp 3 13", "answered", "answered"]


def test_an_address_that_was_given_back_is_another_vms(found: dict[str, Any]) -> None:
    """C6: the rules of whoever had it do not hold for whoever has it."""
    assert found["replaced"] == "heard q"


def test_a_vms_policy_is_held_before_its_port(found: dict[str, Any]) -> None:
    """E4, I7: what `public` denies, and what was denied meanwhile; answered at once (I6)."""
    denied = "icmp 3 13"
    assert found["filtered"][:6] == ["answered", denied, denied, "heard q", "answered", denied]
    assert sorted(found["filtered"][6:]) == ["192.168.3.4:7000/udp", "198.51.100.1:7000/udp"]


def test_a_device_that_was_set_down_for_a_while_loses_frames_only(starts: dict[str, Any]) -> None:
    """The guest's network is there again when the device is."""
    assert starts["taken down"] == "icmp 3 13, 198.51.100.2"


def test_another_firewall_that_drops_is_named_until_it_knows_the_bridge(
    starts: dict[str, Any],
) -> None:
    """H8."""
    *named, outward, between = starts["firewalls"]
    assert named == ["NONE", "OTHER", "DOCKER", "NONE"]
    assert outward == "198.51.100.2"
    assert between.endswith("b'hello')")


def test_a_removal_leaves_the_host_as_it_was(found: dict[str, Any]) -> None:
    """B3: rules of others stay."""
    assert found["others' rules"] is True
    assert found["left"] == []


def test_a_helper_that_dies_on_the_way_leaves_an_address_to_the_next(
    starts: dict[str, Any],
) -> None:
    """B5, C6: at each request to the kernel, and before the answer."""
    assert set(starts["helpers"]) == {"served"}
    assert len(starts["helpers"]) >= 8


def test_a_daemon_that_dies_on_the_way_leaves_an_address_to_the_next(
    starts: dict[str, Any],
) -> None:
    """B5, C6: before it asks for the device, with the device, with the filter."""
    assert starts["daemons"] == ["served"] * 6


def test_networks_that_start_at_once_have_addresses_of_their_own(starts: dict[str, Any]) -> None:
    """C6: each answers by its own."""
    assert starts["many"] == ["heard q"] * 20
    assert starts["left"] == []


def test_what_a_guest_leaves_to_its_card_crosses_the_bridge(starts: dict[str, Any]) -> None:
    """Of a VMM on a TAP: segments of IPv4 and of IPv6, which are cut on the way."""
    if not IS_TUN_OPEN:
        pytest.skip(f"this host keeps {DEVICE} from users")
    assert starts["segments"] == ["whole", "whole"]


def test_rules_that_somebody_has_deleted_are_there_for_the_next_vm(starts: dict[str, Any]) -> None:
    """E4: and a device that is not the helper's does not keep it from working."""
    families = ("bridge banger", "ip banger", "ip somebodys", "ip6 banger")
    assert sorted(starts["tables"]) == [f"table {each} {{" for each in families]


def test_there_is_room_for_the_rules_of_many_ports(starts: dict[str, Any]) -> None:
    """Beyond what one message to the kernel holds; the next claim takes back those of no device."""
    assert starts["ports"] == 1001


def test_a_helper_survives_what_no_nft_prints(starts: dict[str, Any]) -> None:
    """G5."""
    assert starts["garbled"] == "The bridge's helper failed; its log says why."


def test_guests_and_their_host_reach_each_other_by_ipv6(ipv6: dict[str, Any]) -> None:
    """By an address that is derived from the other; the bridge has no further one, a port none."""
    assert ipv6["addresses"] == [["fd62:616e:6765:7200::a4d:1"], []]
    assert ipv6["between"] == "fd62:616e:6765:7200::a4d:2 hello"
    assert ipv6["from the host"] == "heard fd62:616e:6765:7200::a4d:1 q"


def test_a_guest_reaches_no_service_of_its_host_by_ipv6(ipv6: dict[str, Any]) -> None:
    """E4, I8: said at once (I6); other addresses of the host's and the world's do not exist."""
    assert ipv6["to the host"] == {"tcp": "reset", "udp": "icmp 1 1", "echo": "icmp 129 0"}
    assert ipv6["elsewhere"] == []


def test_the_hosts_own_table_refuses_what_a_port_would_let_pass(ipv6: dict[str, Any]) -> None:
    """E4: at another address of the host's, and into the world, although the host is a router."""
    refused = {"tcp": "reset", "udp": "icmp 1 1", "echo": "icmp 1 1", "world": ""}
    assert ipv6["behind the ports"] == refused


def test_nobody_outside_begins_with_a_guest_by_ipv6(ipv6: dict[str, Any]) -> None:
    assert ipv6["from outside"] == []


def test_a_guest_speaks_with_its_own_ipv6_address_only(ipv6: dict[str, Any]) -> None:
    """E4, I8: it is no router, and no other neighbour; no further headers, no groups."""
    assert ipv6["spoofed"] == []


def test_a_vms_policy_is_held_for_ipv6(ipv6: dict[str, Any]) -> None:
    """E4, I6, I8: a neighbour that is denied by its IPv4 address."""
    between, *refused, from_the_host = ipv6["filtered"]
    assert between == "fd62:616e:6765:7200::a4d:14f hello"
    assert refused == ["icmp 1 1", "reset", "10.77.0.3:7000/udp", "10.77.0.3:7000/tcp"]
    assert from_the_host == "heard fd62:616e:6765:7200::a4d:1 q"


def test_a_host_without_ipv6_has_a_bridge_all_the_same(ipv6: dict[str, Any]) -> None:
    """Whether its owner has turned IPv6 off, or its kernel has none; nothing of it is left."""
    assert ipv6["without"] == {"off": "[]", "none": "served"}
    assert ipv6["left"] == []
