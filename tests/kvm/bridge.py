"""VMs of Firecracker on the bridge of a host with systemd, set up as its user does it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.kvm.machine import USER, Host
from tests.kvm.vms import Scenario, banger, list_vms, nothing_is_left, small

SUDOERS = "/etc/sudoers.d/checks"
ON_BRIDGE = ("--driver", "firecracker", "--network", "bridge")
SERVE = """perl -MIO::Socket::IP -e '
$listener = IO::Socket::IP->new(LocalHost => "::", LocalPort => 7000, Listen => 5) or die;
exit if fork;
while ($client = $listener->accept) { print $client "heard " . <$client>; close $client }
' </dev/null >/dev/null 2>&1
"""
SAY = "exec 3<>/dev/tcp/{}/7000 && echo hello >&3 && cat <&3"


async def firecracker_joins_a_bridge(host: Host) -> None:
    """Two clones and a fork reach each other by name and address, each at its own (C6, E4)."""
    permit = f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' >{SUDOERS}"
    (await host.root(permit)).expect()
    await banger(host, "setup", "--bridge", "--yes")
    for name in ("one", "two"):
        ended = await banger(host, "vm", "create", "--name", name, *small(host), *ON_BRIDGE)
        assert "notice" not in ended.err, ended.err
    await _in(host, "two", SERVE)
    await banger(host, "vm", "fork", "two")
    found = {str(view["name"]): _read_addresses(view) for view in await list_vms(host)}
    assert len(set[str]().union(*found.values())) == sum(map(len, found.values())), found
    for name in ("two", "two-1"):
        assert found[name] == {*(await _in(host, name, "hostname -I")).split()}, found
        for place in (f"{name}.vm", *found[name]):
            await _in(host, "one", f"ping -c 1 -W 60 {place}")
            assert await _in(host, "one", SAY.format(place)) == "heard hello\n", place


async def bridge_goes_with_its_vms(host: Host) -> None:
    """No device is left of VMs that are deleted, nor of the bridge when it is removed."""
    await banger(host, "vm", "delete", "one", "two", "two-1")
    assert "bng-" not in (await host.root("ip -o link")).expect().out
    await banger(host, "setup", "--bridge", "--remove", "--yes")
    left = "ip -o link | grep banger; nft list tables; ls /etc/systemd/system/banger*; :"
    assert (await host.root(f"({left}) 2>/dev/null; rm {SUDOERS}")).expect().out == ""


def _read_addresses(view: Mapping[str, object]) -> set[str]:
    found = (view["guest_address"], view["guest_address6"])
    return {str(address) for address in found if address}


async def _in(host: Host, vm: str, script: str) -> str:
    return (await banger(host, "vm", "exec", vm, "--", "bash", "-c", script)).out


SCENARIOS: tuple[Scenario, ...] = (
    (firecracker_joins_a_bridge, bridge_goes_with_its_vms, nothing_is_left),
)
