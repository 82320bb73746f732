"""`banger setup --dns`, with a real resolver in namespaces: the host's own is not touched."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installations import Installation, wait_for
from tests.support.loopbacks import free_front_port
from tests.support.namespaces import own_host

SCRIPT = """
set -e
ip link set lo up
mount -t tmpfs banger-test "$1"
mkdir "$1/upper" "$1/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" banger-test /etc
mount -t tmpfs banger-test /run
rm -f /etc/resolv.conf /etc/nsswitch.conf
echo "hosts: files dns" > /etc/nsswitch.conf
echo "nameserver 127.0.0.1" > /etc/resolv.conf
mkdir -p /etc/dnsmasq.d
mount -t tmpfs banger-test /etc/dnsmasq.d
systemctl restart dnsmasq
echo ready
cat
kill "$(cat /run/test.pid)"
"""
"""Ends with its stdin."""
SYSTEMCTL = """#!/bin/sh
# What systemctl would do with dnsmasq, where no systemd runs.
[ "$1 $2" = "restart dnsmasq" ] || exit 3
if [ -e "$0.fails" ]; then exit 4; fi
if [ -f /run/test.pid ]; then
    pid=$(cat /run/test.pid)
    kill "$pid"
    while [ -e "/proc/$pid/exe" ]; do sleep 0.05; done
fi
setsid dnsmasq --no-daemon --conf-file=/dev/null --conf-dir=/etc/dnsmasq.d --no-resolv --no-hosts \\
    --listen-address=127.0.0.1 --bind-interfaces > /dev/null 2>&1 < /dev/null &
echo $! > /run/test.pid
"""
NEEDED = ("unshare", "nsenter", "ip", "dnsmasq", "dig")


@pytest.fixture
def host(private_environ: dict[str, str], tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The prefix by which a command runs on a host whose resolver is dnsmasq, as its root."""
    for program in NEEDED:
        if shutil.which(program, path=f"{private_environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"this host has no {program}")
    private_environ["BANGER_NAMES_DNS_PORT"] = str(free_front_port())
    with own_host(private_environ, tmp_path, script=SCRIPT, systemctl=SYSTEMCTL) as prefix:
        yield prefix


def resolve(host: tuple[str, ...], *query: str) -> list[str]:
    """Return what programs of the host get."""
    command = [*host, "getent", *query]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


def test_a_resolver_is_told_and_forgets_again(
    host: tuple[str, ...], banger: Installation, tmp_path: Path
) -> None:
    """G4, H8: shown, written only when asked to, checked, and undone."""
    file = "/etc/dnsmasq.d/banger.conf"
    cat = [*host, "cat", file]
    shown = banger.do("setup", "--dns", prefix=host)
    port = banger.environ["BANGER_NAMES_DNS_PORT"]
    assert f"server=/vm/127.0.0.1#{port}\n" in shown.out.decode()
    assert f"{file}, for dnsmasq:" in shown.err and "Nothing was changed" in shown.err
    assert subprocess.run(cat, capture_output=True, check=False).returncode == 1
    assert resolve(host, "hosts", "check.banger.vm") == []

    told = banger.do("setup", "--dns", "--yes", prefix=host)
    assert "This host resolves NAME.vm" in told.err
    assert subprocess.run(cat, capture_output=True, check=True).stdout == told.out
    assert resolve(host, "hosts", "check.banger.vm")[0] == "127.77.0.0"
    assert resolve(host, "hosts", "nothing.vm") == []
    assert "The file is already installed." in banger.do("setup", "--dns", prefix=host).err

    # The daemon that is gone takes the names along; the next one brings them back.
    banger.stop_daemon()
    banger.do("setup", "--dns", prefix=host)

    broken = tmp_path / "bin/rm"
    broken.symlink_to("/bin/false")
    failed = banger.run("setup", "--dns", "--remove", "--yes", prefix=host, status=1)
    assert "banger setup --dns --remove" in failed.err
    broken.unlink()
    removed = banger.do("setup", "--dns", "--remove", "--yes", prefix=host)
    assert f"removed {file}" in removed.err
    wait_for(lambda: resolve(host, "hosts", "check.banger.vm") == [], "the name to be gone")
    again = banger.do("setup", "--dns", "--remove", prefix=host)
    assert "This host's resolver has no configuration from banger." in again.err


def test_a_resolver_that_did_not_start_is_told_again(
    host: tuple[str, ...], banger: Installation, tmp_path: Path
) -> None:
    """H8: the file is there, or gone, and the resolver has not read it."""
    fails = tmp_path / "bin/systemctl.fails"

    def run_twice(*words: str) -> str:
        fails.touch()
        failed = banger.run("setup", "--dns", *words, "--yes", prefix=host, status=1)
        assert "systemctl restart dnsmasq failed with status 4" in failed.err
        fails.unlink()
        return banger.do("setup", "--dns", *words, "--yes", prefix=host).err

    assert "$ install" not in run_twice()
    assert "$ systemctl" not in banger.do("setup", "--dns", "--yes", prefix=host).err
    assert "$ rm" not in run_twice("--remove")
    wait_for(lambda: resolve(host, "hosts", "check.banger.vm") == [], "the name to be gone")
    assert "has no conf" in banger.do("setup", "--dns", "--remove", "--yes", prefix=host).err


def test_a_host_whose_resolver_cannot_be_told_is_told_so(
    host: tuple[str, ...], banger: Installation
) -> None:
    """H6, H8: and the port that is switched off, or taken."""
    subprocess.run([*host, "sh", "-c", "echo > /etc/resolv.conf"], check=True)
    refused = banger.run("setup", "--dns", "--yes", prefix=host, status=6)
    assert "neither systemd-resolved nor dnsmasq" in refused.err
    subprocess.run([*host, "sh", "-c", "echo nameserver ::1 > /etc/resolv.conf"], check=True)
    banger.environ["BANGER_NAMES_DNS_PORT"] = "0"
    refused = banger.run("setup", "--dns", "--yes", prefix=host, status=6)
    assert "switched off" in refused.err
    assert banger.run("setup", "--remove", prefix=host, status=2).out == b""
