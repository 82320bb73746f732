"""`banger setup --bridge`, as the root of namespaces: the host's own is not touched."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.network.bridge.service import PROGRAM, SERVICE, UNIT, build_program
from tests.support.installations import Installation
from tests.support.namespaces import own_host

SCRIPT = """
set -e
ip link set lo up
mount -t tmpfs banger-test "$1"
for place in /etc /usr/local/lib; do
    mkdir -p "$1$place/upper" "$1$place/work"
    above="upperdir=$1$place/upper,workdir=$1$place/work"
    mount -t overlay -o "lowerdir=$place,$above" banger-test "$place"
done
mkdir -p /etc/systemd
for place in /run /etc/systemd; do mount -t tmpfs banger-test "$place"; done
mkdir -p /etc/systemd/system /run/systemd/system
echo ready
cat
if [ -f /run/helper.pid ]; then kill "$(cat /run/helper.pid)"; fi
"""
"""Ends with its stdin."""
SYSTEMCTL = f"""#!/bin/sh
# What systemctl would do with the unit, where no systemd runs.
stop() {{
    [ -f /run/helper.pid ] || return
    kill "$(cat /run/helper.pid)"
    while [ -e "/proc/$(cat /run/helper.pid)/exe" ]; do sleep 0.05; done
    rm -r /run/helper.pid /run/banger-bridge
}}
case "$*" in
    daemon-reload|"enable {SERVICE}") ;;
    "restart {SERVICE}")
        stop
        mkdir -p /run/banger-bridge
        $(sed -n s/^ExecStart=//p {UNIT}) > /dev/null 2>&1 < /dev/null &
        echo $! > /run/helper.pid ;;
    "disable --now {SERVICE}") stop ;;
    *) exit 3 ;;
esac
"""
NFT = """#!/bin/sh
# What nft does where the kernel has no nft_connlimit; the real one is at /run/nft.
cat > /run/rules
if grep -q "ct count" /run/rules; then
    echo "Error: Could not process rule: No such file or directory" >&2
    exit 1
fi
exec /run/nft "$@" < /run/rules
"""
DOCKER = """
nft add table ip filter
nft add chain ip filter DOCKER-USER
nft add chain ip filter FORWARD '{ type filter hook forward priority 0; policy drop; }'
"""


@pytest.fixture
def host(private_environ: dict[str, str], tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The prefix by which a command runs on a host with this `systemctl`, as its root."""
    with own_host(private_environ, tmp_path, script=SCRIPT, systemctl=SYSTEMCTL) as prefix:
        yield prefix


def run(host: tuple[str, ...], script: str, stdin: str = "") -> str:
    """Return what a shell's script prints on the host."""
    argv = [
        *host,
        "sh",
        "-ec",
        f"PATH=$PATH:/usr/sbin; {script}",
    ]  # users of Debian do not look there
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=True)
    return done.stdout


def look(host: tuple[str, ...]) -> str:
    """Return what a bridge leaves on its host."""
    script = "ip -brief link | cut -d' ' -f1; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward"
    return run(host, f"{script}; find {UNIT.parent} /run {PROGRAM.parent} -maxdepth 2")


def doctor(host: tuple[str, ...], banger: Installation) -> dict[str, str]:
    """Return what `doctor` says of the bridge."""
    checks = json.loads(banger.run("doctor", "--json", prefix=host).text)["checks"]
    (said,) = [check for check in checks if check["name"] == "bridge"]
    return said  # type: ignore[no-any-return]


def test_a_bridge_is_set_up_and_removed(host: tuple[str, ...], banger: Installation) -> None:
    """G5, B3, H8: shown, made only when asked to, checked, told by `doctor`, and undone."""
    before = look(host)
    shown = banger.do("setup", "--bridge", prefix=host)
    assert "ExecStart=" in shown.out.decode() and "Nothing was changed" in shown.err
    assert look(host) == before

    banger.do("setup", "--bridge", "--yes", prefix=host)
    after = look(host)
    assert all(what in after for what in ("banger0", "masquerade", str(UNIT), str(PROGRAM)))
    said = doctor(host, banger)
    networks = "10.77.0.0/16 and fd62:616e:6765:7200::/64"
    assert (said["state"], said["fact"]) == ("ok", f"VMs can join banger0, {networks}.")
    run(host, "echo 1 > /proc/sys/net/ipv6/conf/banger0/disable_ipv6")
    assert "without IPv6" in doctor(host, banger)["fact"]
    run(host, DOCKER)
    said = doctor(host, banger)
    assert (said["state"], "DOCKER-USER -i banger0" in said["hint"]) == ("warn", True)
    run(host, f"nft delete table ip filter; echo >> {PROGRAM}")
    assert "another release" in doctor(host, banger)["fact"]

    banger.do("setup", "--bridge", "--yes", prefix=host)
    assert look(host) == after
    banger.do("setup", "--bridge", "--remove", "--yes", prefix=host)
    assert look(host) == before
    assert (
        "no bridge network" in banger.do("setup", "--bridge", "--remove", "--yes", prefix=host).err
    )


def test_what_a_dead_set_up_has_left_is_removed(
    host: tuple[str, ...], banger: Installation
) -> None:
    """B3: the program is the first file that is installed, and the last that is removed."""
    before = look(host)
    unit = banger.do("setup", "--bridge", prefix=host).out
    plan_program = f"import sys; sys.stdout.buffer.write({build_program()!r})"
    run(host, f"{sys.executable} -c {shlex.quote(plan_program)} > {PROGRAM}")
    banger.do("setup", "--bridge", "--remove", "--yes", prefix=host)
    assert look(host) == before
    assert b"--user 0" in unit


def test_a_host_that_cannot_have_a_bridge_is_told_so(
    host: tuple[str, ...], banger: Installation
) -> None:
    """H8: also by `doctor`, where the kernel is the reason; another user's bridge is left alone."""
    before = look(host)
    nft = run(host, "readlink -f $(command -v nft)").strip()
    run(host, f"cp {nft} /run/nft; cat > /run/less; chmod +x /run/less", NFT)
    run(host, f"mount --bind /run/less {nft}")
    refused = banger.run("setup", "--bridge", "--yes", prefix=host, status=6)
    assert "lacks the module nft_connlimit" in refused.err
    assert "sudo modprobe nft_connlimit && sudo systemctl restart banger-bridge" in refused.err
    said = doctor(host, banger)
    assert (said["state"], "nft_connlimit" in said["fact"]) == ("warn", True)
    banger.do("setup", "--bridge", "--remove", "--yes", prefix=host)
    run(host, f"umount {nft}; rm /run/nft /run/less /run/rules")
    assert look(host) == before

    run(host, f"echo 'ExecStart=x --user 7' > {UNIT}")
    refused = banger.run("setup", "--bridge", "--yes", prefix=host, status=6)
    assert "set up for another user" in refused.err
    run(host, f"rm -r {UNIT} /run/systemd/system")
    refused = banger.run("setup", "--bridge", "--yes", prefix=host, status=6)
    assert "needs systemd" in refused.err
    banger.environ["SUDO_UID"] = "1000"
    refused = banger.run("setup", "--bridge", "--yes", prefix=host, status=6)
    assert "run this command without sudo" in refused.err
