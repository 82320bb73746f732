"""Where a guest's listeners appear on the host."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.forwards import Endpoint, plan_mirrors
from banger.forwards.plan import MIRRORS_MAX, plan_guest_hosts

ADDRESS = "127.77.3.9"
HOSTS = st.one_of(
    st.sampled_from(["0.0.0.0", "127.0.0.1", "::", "::1", "10.0.2.15", "::ffff:127.0.0.1"]),
    st.ip_addresses().map(str),
)
LISTENERS = st.frozensets(st.tuples(HOSTS, st.integers(0, 65535)), max_size=60)
FEW_PORTS = st.frozensets(
    st.tuples(HOSTS, st.sampled_from([22, 80, 8000, 10022, 10080, 20080, 65535])), max_size=20
)


def plan(*listeners: tuple[str, int], first_port: int = 1024) -> dict[int, int]:
    """Return the host's port of each guest port."""
    mirrors = plan_mirrors(listeners, ADDRESS, first_port=first_port)
    assert {host.address for host in mirrors} <= {ADDRESS}
    return {guest.port: host.port for host, guest in mirrors.items()}


def test_a_port_keeps_its_number() -> None:
    assert plan(("0.0.0.0", 8000), ("::", 8000), ("127.0.0.1", 5432)) == {8000: 8000, 5432: 5432}


def test_a_port_that_is_kept_for_root_appears_higher() -> None:
    """F.3: at the same place whatever came first, and never at another listener's."""
    assert plan(("0.0.0.0", 80)) == {80: 10080}
    assert plan(("0.0.0.0", 80), ("0.0.0.0", 10080)) == {80: 20080, 10080: 10080}
    assert plan(("0.0.0.0", 80), first_port=80) == {80: 80}
    assert plan(("0.0.0.0", 80), first_port=0) == {80: 80}


def test_a_published_port_is_not_taken_from_its_user() -> None:
    others = [Endpoint("127.0.0.1", 20080), Endpoint(ADDRESS, 20080, "udp")]
    taken = [Endpoint(ADDRESS, 10080), *others]
    (host,) = plan_mirrors([("::1", 80)], ADDRESS, first_port=1024, taken=taken)
    assert host == Endpoint(ADDRESS, 20080)


@pytest.mark.parametrize(
    ("listening", "tried"),
    [
        (["0.0.0.0"], ("127.0.0.1",)),
        (["::"], ("127.0.0.1", "::1")),
        (["::1"], ("::1",)),
        (["127.0.0.1", "::1"], ("127.0.0.1", "::1")),
        (["10.0.2.15"], ("10.0.2.15",)),
        (["10.0.2.15", "0.0.0.0"], ("127.0.0.1", "10.0.2.15")),
        (["::ffff:127.0.0.1"], ("127.0.0.1",)),
        (["127.0.0.53"], ("127.0.0.53",)),
    ],
)
def test_a_connection_goes_where_the_server_listens(
    listening: list[str], tried: tuple[str, ...]
) -> None:
    """I1, I2: on its loopback only, on ::1 only, on all."""
    assert plan_guest_hosts(listening) == tried


@given(listeners=st.one_of(LISTENERS, FEW_PORTS), first_port=st.sampled_from([0, 80, 1024, 9000]))
def test_any_listeners_have_places_of_their_own(
    listeners: frozenset[tuple[str, int]], first_port: int
) -> None:
    """C6, E2: one endpoint each, on the VM's address, permitted, the same in any order."""
    mirrors = list(plan_mirrors(listeners, ADDRESS, first_port=first_port).items())
    again = plan_mirrors(sorted(listeners, reverse=True), ADDRESS, first_port=first_port)
    assert mirrors == list(again.items())
    ports = {port for _, port in listeners if port}
    assert {guest.port for _, guest in mirrors} <= ports
    for host, guest in mirrors:
        assert (host.address, host.protocol) == (ADDRESS, "tcp")
        assert first_port <= host.port <= 65535
        assert host.port == guest.port or guest.port < first_port
        assert guest.hosts
        assert not any(ip_address(each).is_unspecified for each in guest.hosts)
    permitted = {port for port in ports if port >= first_port}
    assert permitted <= {guest.port for _, guest in mirrors}


def test_a_guest_that_listens_everywhere_costs_a_bounded_number_of_sockets() -> None:
    """E2."""
    listeners = [("0.0.0.0", port) for port in range(1, 65536)]
    assert len(plan_mirrors(listeners, ADDRESS, first_port=1024)) == MIRRORS_MAX
