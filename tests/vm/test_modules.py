"""All modules of the kernel in the guest: loaded, used, and in images of any shape."""

from __future__ import annotations

import pytest

from tests.support.bare_images import make_bare_image
from tests.support.installations import Installation
from tests.support.sampling import choose

USE = """
set -e
cd /root
modprobe -a tun nf_tables veth overlay loop fuse br_netfilter
ip tuntap add t0 mode tun
ip link add v0 type veth peer name v1
truncate -s 4M disk
mke2fs -q disk
mkdir -p l u w m d
mount -o loop disk d
mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m
test -c /dev/fuse
ip -o link show | grep -o 't0\\|v0@v1'
findmnt -n -o FSTYPE d
findmnt -n -o FSTYPE m
umount d m
ip link delete t0
ip link delete v0
"""


def test_what_containers_need_is_there_in_a_clone(banger: Installation, system: str) -> None:
    """The shared VM is a template's clone: the disk of modules was saved with it."""
    assert banger.vm(system)["template"]
    used = banger.exec(system, "sh", "-c", USE, status=0).text.split()
    assert used == ["t0", "v0@v1", "ext2", "overlay"] or used == ["v0@v1", "t0", "ext2", "overlay"]
    missing = banger.exec(system, "modprobe", "no-such-module")
    assert missing.status == 1
    version = banger.exec(system, "uname", "-r", status=0).text
    readonly = banger.exec(system, "touch", f"/lib/modules/{version}/x")
    assert "Read-only file system" in readonly.err


@pytest.mark.parametrize("kind", ["system", "tiny"])
def test_every_user_may_open_fuse_and_tun(
    banger: Installation, request: pytest.FixtureRequest, kind: str
) -> None:
    """Where udev does not run, as in either image."""
    vm = request.getfixturevalue(kind)
    modes = banger.exec(vm, "stat", "-c", "%a %F", "/dev/fuse", "/dev/net/tun", status=0)
    assert modes.text.splitlines() == ["666 character special file"] * 2


@pytest.mark.parametrize("target", choose(["lib", "../../nowhere"], 1))
def test_an_image_whose_lib_leads_nowhere_boots_without(own: Installation, target: str) -> None:
    """F1: a hostile image harms its own guest only, and not even its boot."""
    size = ("--memory", "256M", "--disk", "1G", "--vcpu", "1", "--network", "none", "--no-template")
    image = make_bare_image(own, {"lib": target})
    vm = own.do("vm", "create", "--image", image, *size).text
    kernel = own.json("kernel", "show", "debian-cloud")
    tree = f"/lib/modules/{kernel['version']}/kernel/drivers"
    assert own.run("vm", "exec", "-w", tree, vm, "--", "/program", "--version").status != 0
    assert own.exec(vm, "/program", "--version", status=0).out
    assert "no modules at /lib/modules/" in own.do("vm", "logs", vm).text
