"""A host's table of routes, as the kernel writes it."""

from __future__ import annotations

import pytest

from banger.network.user.routes import has_route

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def _line(interface: str, flags: str) -> str:
    return f"{interface}\t00000000\t010200C0\t{flags}\t0\t0\t0\t00000000\t0\t0\t0   \n"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (HEAD, False),
        (HEAD + _line("eth0", "0003"), True),
        (HEAD + _line("lo", "0001"), False),
        (HEAD + _line("*", "0201"), False),  # `ip route add unreachable default`
        (HEAD + _line("eth0", "0000"), False),
        (HEAD + _line("lo", "0001") + _line("wlan0", "0001"), True),
        ("", False),
    ],
)
def test_a_route_counts_when_it_leads_out_of_the_host(table: str, expected: bool) -> None:
    assert has_route(table) is expected
