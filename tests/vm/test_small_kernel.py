"""The kernel that `kernel build` makes, from its source to guests. `make test-kernel` runs it.

A build takes ten minutes and more of all processors, and fetches 140 MB: not for each run of CI.
What is not the compiler's is in tests/component/kernels/test_build.py, and runs always. A kernel
that has been built is used again by later runs of the same sources.
"""

from __future__ import annotations

import os

import pytest

from tests.support.installations import Installation

WANTED = "BANGER_TEST_KERNEL"
BUILD_DEADLINE_S = 3 * 3600.0

pytestmark = [
    pytest.mark.skipif(WANTED not in os.environ, reason=f"{WANTED} is not set"),
    pytest.mark.timeout(BUILD_DEADLINE_S + 900),
]

USE = """
set -e
systemctl is-system-running
ip route | grep -c '^default'
mkdir -p /tmp/t && cd /root && mkdir -p l u w m d
mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m
truncate -s 4M disk && mke2fs -q disk && mount -o loop disk d
findmnt -n -o FSTYPE m
findmnt -n -o FSTYPE d
umount m d
ip tuntap add t0 mode tun && ip link delete t0
ip link add v0 type veth peer name v1 && ip link delete v0
unshare --mount --uts --ipc --net --pid --user --cgroup --fork --map-root-user true
test -c /dev/fuse
test ! -e /sys/module/ext4/holders
ls /lib/modules 2>/dev/null | grep -c banger || true
ls /sys/class/net
uname -r
"""


@pytest.fixture(scope="module")
def small(banger: Installation) -> Installation:
    """The shared installation, which has the kernel."""
    if banger.run("kernel", "show", "small").status != 0:
        banger.do("kernel", "build", deadline_s=BUILD_DEADLINE_S)
    return banger


def test_it_lacks_nothing_but_modules(small: Installation) -> None:
    kernel = small.json("kernel", "show", "small")
    assert kernel["missed"] == ["CONFIG_MODULES is not set (for loading modules)"]
    assert (kernel["modules"], kernel["tree"]) == ([], None)
    assert kernel["source"].startswith("build:linux-source-")


def test_the_default_image_settles_and_containers_find_what_they_need(small: Installation) -> None:
    vm = small.do("vm", "create", "--kernel", "small", "--memory", "1G", "--vcpu", "1").text
    used = small.exec(vm, "sh", "-c", USE, status=0).text.split()
    assert used[:-1] == ["running", "1", "overlay", "ext2", "0", "eth0", "lo"]
    assert used[-1].endswith("-banger")
    assert b"BUG" not in small.do("vm", "logs", vm).out


def test_clones_forks_and_commands(small: Installation) -> None:
    size = ("--kernel", "small", "--memory", "1G", "--vcpu", "1")
    small.do("template", "build", *size)
    assert small.run("vm", "run", "--rm", *size, "--", "sh", "-c", "exit 42").status == 42
    vm = small.do("vm", "create", *size).text
    assert small.vm(vm)["template"]
    small.exec(vm, "sh", "-c", "echo kept > /run/kept", status=0)
    fork = small.do("vm", "fork", vm).text
    assert small.exec(fork, "cat", "/run/kept", status=0).text == "kept"
