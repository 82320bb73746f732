"""Images of layers in real guests: what the layers say is what a program in the guest meets."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.component.cli.terminal import Terminal
from tests.support.imports import BUSYBOX, import_layers
from tests.support.installations import Installation, finish, wait_for
from tests.support.tars import (
    Member,
    directory,
    hard_link,
    make_tar,
    symlink,
)

pytestmark = pytest.mark.skipif(not BUSYBOX.exists(), reason="busybox is not installed")

SIZES = ("--memory", "256M", "--disk", "1G", "--vcpu", "1", "--network", "none")
CAP_DAC_READ_SEARCH = struct.pack("<5I", 0x02000001, 1 << 2, 0, 0, 0)
APPLETS = "sh cat chmod chown id ln ls mkdir mount pwd rm stat truncate umount".split()
PASSWD = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"


@pytest.fixture(scope="module")
def booted(banger: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A VM of an image like busybox, which no test changes: one takes a fork of it for that."""
    program = BUSYBOX.read_bytes()
    lower = make_tar(
        Member("bin/busybox", program, mode=0o755),
        *(symlink(f"bin/{name}", "busybox") for name in APPLETS),
        Member("bin/capable", b"#", mode=0o755),
        Member("etc/passwd", PASSWD),
        Member("secret", b"secret\n", mode=0o600, mtime=86400),
        directory("closed", 0o700, uid=1000, gid=1000),
        Member(b"closed/\xff\xfe", b"raw\n", mode=0o600, uid=1000, gid=1000),
        Member("gone/x"),
        Member("root/.profile", b"of the image"),
        Member("removed", b"removed"),
    )
    upper = make_tar(
        Member(".wh.gone"),
        hard_link("second", "secret"),
        Member("cap/cat", program, mode=0o755, xattrs={"security.capability": CAP_DAC_READ_SEARCH}),
        Member("suid/cat", program, mode=0o4755),
    )
    image = import_layers(
        banger,
        tmp_path_factory.mktemp("image"),
        [lower, upper],
        Env=["GREETING=hello there", "PATH=/bin"],
        Labels={"a": "b"},
        WorkingDir="/work",
        User="app",
    )
    vm = banger.do("vm", "run", "-d", "-q", *SIZES, "--image", image, "--no-template").text
    yield vm
    banger.do("vm", "delete", vm)


@pytest.fixture
def forked(banger: Installation, booted: str) -> Iterator[str]:
    """A fork of it, for one test."""
    banger.do("vm", "fork", booted, "--name", "forked")
    yield "forked-1"
    banger.do("vm", "delete", "forked-1")


def exec_as_root(banger: Installation, vm: str, *command: str) -> str:
    return banger.do("vm", "exec", vm, "-u", "0", "--", *command).text


def test_an_image_like_busybox(banger: Installation, booted: str) -> None:
    """F1, F2: owners, setuid, capabilities, links, whiteouts, names; the image's own defaults."""
    vm = booted
    script = 'echo "$GREETING"; id -u; pwd; echo /closed/*; cat /closed/*; ls -d /gone; cat /secret'
    said = banger.exec(vm, "sh", "-c", script)
    assert said.out == b"hello there\n1000\n/work\n/closed/\xff\xfe\nraw\n", said
    assert "/gone" in said.err and "/secret" in said.err
    assert banger.exec(vm, "/cap/cat", "/secret").out == b"secret\n"
    facts = banger.exec(vm, "stat", "-c", "%a %u %h %Y", "/second", "/suid/cat")
    assert facts.text.splitlines() == ["600 0 2 86400", "4755 0 1 1000"]
    missing = banger.exec(vm, "no-such-program", status=127)
    assert f"no-such-program: command not found in {vm}" in missing.err
    # It has no /lib: the modules are there all the same.
    tree = f"/lib/modules/{banger.json('kernel', 'show', 'debian-cloud')['version']}/kernel/drivers"
    assert banger.do("vm", "exec", "-w", tree, vm, "--", "pwd").text == tree
    assert "no modules" not in banger.do("vm", "logs", vm).text


def test_an_image_of_one_program(banger: Installation, tmp_path: Path) -> None:
    """H6: neither a shell nor /etc: templates, exec and the login shell's refusal all the same."""
    layer = make_tar(Member("busybox", BUSYBOX.read_bytes(), mode=0o755, uid=65532, gid=65532))
    image = import_layers(
        banger, tmp_path, [layer], User="65532:65532", Entrypoint=["/busybox", "echo", "hello"]
    )
    show = banger.do("image", "show", image).text
    assert "/busybox echo hello" in show
    vm = banger.do("vm", "run", "-d", "-q", *SIZES, "--image", image).text
    assert banger.vm(vm)["template"]
    assert banger.exec(vm, "/busybox", "id", "-u").text == "65532"
    assert exec_as_root(banger, vm, "/busybox", "id", "-u") == "0"
    key = "/etc/ssh/ssh_host_ed25519_key"
    assert int(exec_as_root(banger, vm, "/busybox", "stat", "-c", "%s", key)) > 100
    for shell, fact in (("sh", "command not found"), ("/bin/sh", "no such file")):
        refused = banger.exec(vm, shell, "-c", "true", status=127)
        assert f"{shell}: {fact} in {vm}" in refused.err
    banger.do("vm", "delete", vm)
    # What a user of Docker has from `docker run IMAGE [WORD...]`.
    run = ("vm", "run", "--rm", "-q", *SIZES, "--image", image, "--entrypoint")
    assert banger.do(*run).text == "hello"
    assert banger.do(*run, "--", "you").text == "hello you"
    # Who expects a shell is told what there is instead.
    shell = Terminal(banger.environ, *run[:-1])
    with contextlib.closing(shell):
        shell.expect(b"/bin/sh", keep=True)
        shell.expect(f"hint: banger vm run --image {image} --entrypoint".encode(), keep=True)
        assert shell.process.wait(60) == 127


def test_an_entry_point_that_is_kept_running(banger: Installation, tmp_path: Path) -> None:
    """H2, H5: as the image says, in a clone, again when it fails, and after each boot."""
    layer = make_tar(
        Member("bin/busybox", BUSYBOX.read_bytes(), mode=0o755),
        *(symlink(f"bin/{name}", "busybox") for name in ("sh", "cat", "id", "kill", "sleep")),
        directory("srv", uid=1000, gid=1000),
    )
    script = "echo $$ >pid; echo this is $GREETING of $(id -u) in $PWD; exec sleep 9999"
    image = import_layers(
        banger,
        tmp_path,
        [layer],
        Env=["PATH=/bin", "GREETING=hello there"],
        WorkingDir="/srv",
        User="1000:1000",
        Entrypoint=["sh", "-c"],
        Cmd=[script],
    )
    created = banger.do("vm", "create", "-q", *SIZES, "--image", image, "--entrypoint")
    vm = created.text
    assert banger.vm(vm)["template"] and banger.vm(vm)["entrypoint"] == ["sh", "-c", script]

    def said() -> int:
        log = banger.do("vm", "logs", "--console", vm).text
        return log.count("this is hello there of 1000 in /srv")

    wait_for(lambda: said() == 1, "what it says")
    banger.exec(vm, "sh", "-c", "kill -9 $(cat pid)", status=0)
    wait_for(lambda: said() == 2, "it to be started again")
    assert "sh was killed by signal 9" in banger.do("vm", "logs", "--console", vm).text
    # A fork goes on with what runs.
    banger.do("vm", "fork", vm, "--name", "copy")
    banger.exec("copy-1", "sh", "-c", "kill -0 $(cat pid)", status=0)
    banger.do("vm", "stop", vm)
    banger.do("vm", "start", vm)
    wait_for(lambda: said() == 1, "it to be started after a boot, which has a log of its own")
    banger.do("vm", "delete", vm, "copy-1")
    detached = banger.do("vm", "run", "-d", "-q", *SIZES, "--image", image, "--entrypoint")
    assert banger.vm(detached.text)["entrypoint"]
    banger.do("vm", "delete", detached.text)


@pytest.mark.parametrize("own", ["firecracker"], indirect=True)
def test_entry_points_that_cannot_be_run(own: Installation, tmp_path: Path) -> None:
    """H5, H6, C7: what cannot be is refused before anything exists; what fails is told."""
    create = ("vm", "create", *SIZES, "--entrypoint", "--name", "one", "--image")
    nothing = import_layers(own, tmp_path, [make_tar(Member("none", b""))])
    refused = own.run(*create, nothing, status=2)
    assert "has neither an entry point nor a command" in refused.err
    wrong = import_layers(own, tmp_path, [make_tar(Member("none", b""))], Entrypoint=["/no/such"])
    failed = own.run(*create, wrong)
    assert failed.status == 1 and "/no/such" in failed.err, failed
    assert "booting instead" not in failed.err and own.run("vm", "show", "one").status == 4
    # Its template is not to blame.
    assert wrong in {template["image"] for template in own.json("template", "list")}
    # What was to run in the foreground is refused in its VM, which is gone: it says what to run.
    run = ("vm", "run", "-q", "--name", "idle", *SIZES, "--no-template", "--entrypoint")
    ended = own.run(*run, "--image", nothing)
    assert (ended.status, ended.out) == (125, b"")
    assert "has neither an entry point nor a command" in ended.err
    assert f"banger vm run --image {nothing} -- COMMAND" in ended.err
    assert own.run("vm", "show", "idle").status == 4


def test_an_image_whose_directories_are_files(banger: Installation, tmp_path: Path) -> None:
    """F1, H6: what a run does not need is not insisted on; the console names what is missing."""
    layer = make_tar(
        Member("bin/busybox", BUSYBOX.read_bytes(), mode=0o755),
        *(symlink(f"bin/{name}", "busybox") for name in ("sh", "cat", "pwd")),
        Member("home", b"a file\n"),
        Member("var", b"a file\n"),
        Member("mnt", b"a file\n"),
        symlink("root", "nowhere"),
        directory("etc/machine-id"),
        Member("etc/ssh", b"a file\n"),
    )
    image = import_layers(banger, tmp_path, [layer], WorkingDir="app", Env=["PATH=/bin"])
    vm = banger.do("vm", "run", "-d", "-q", *SIZES, "--image", image).text
    assert banger.vm(vm)["template"]
    said = banger.exec(vm, "sh", "-c", "pwd; cat /home /var /mnt /etc/ssh /etc/hostname")
    assert said.text.splitlines() == ["/app", *["a file"] * 4, vm]
    made = banger.do("vm", "commit", "-q", vm, f"{image}-committed")
    banger.do("vm", "delete", vm)
    vm = banger.do("vm", "run", "-d", "-q", *SIZES, "--image", made.text, "--no-template").text
    assert banger.exec(vm, "cat", "/home").text == "a file"
    console = banger.do("vm", "logs", "--console", vm).text
    for path in ("/root", "/home", "/var/lib/docker", "/etc/ssh"):
        assert path in console
    banger.do("vm", "delete", vm)


def test_an_image_whose_etc_is_a_file(banger: Installation, tmp_path: Path) -> None:
    """F1: such a guest has its host name from the kernel alone."""
    layer = make_tar(Member("busybox", BUSYBOX.read_bytes(), mode=0o755), Member("etc", b"x"))
    image = import_layers(banger, tmp_path, [layer])
    run = ("vm", "run", "--rm", "-q", "--name", "odd", *SIZES, "--image", image)
    assert banger.do(*run, "--", "/busybox", "hostname").text == "odd"


def test_an_image_of_a_vm(banger: Installation, forked: str) -> None:
    """A9, D2, F2: what the guest has done is in the image, containers' overlays, too; its
    identity and what is mounted are not."""
    script = """
    set -e
    rm /removed; echo its own >/own; chmod 600 /own
    echo mine >/root/mine; ln /root/mine /root/again
    mkdir -p /mnt/x /home/me; mount -t tmpfs x /mnt/x; echo no >/mnt/x/no
    cat /bin/busybox >/home/me/cat; chown 1000:1001 /home/me/cat; chmod 6755 /home/me/cat
    cd /var/lib/docker; mkdir l u w m l/dir; echo 1 >l/gone; echo 1 >l/dir/hidden
    mount -t overlay -o lowerdir=l,upperdir=u,workdir=w x m
    rm m/gone; rm -r m/dir; mkdir m/dir; echo 2 >m/dir/kept; umount m
    """
    exec_as_root(banger, forked, "sh", "-c", script)
    name = f"{banger.vm(forked)['image']}-committed"
    digest = banger.do("vm", "commit", "-q", forked, name).text
    image = banger.json("image", "show", name)
    assert (image["digest"], image["source"]) == (digest, f"vm:{forked}")
    assert (image["env"]["GREETING"], image["labels"]) == ("hello there", {"a": "b"})
    made = banger.do("vm", "run", "-d", "-q", *SIZES, "--image", name, "--no-template").text
    script = """
    ls /removed /mnt/x/no; cat /own /root/again /root/.profile; echo; echo "$GREETING" /mnt/x/*
    stat -c '%a %u %g %h' /home/me/cat /root/mine /own; cat /etc/hostname
    ls /proc/1/status /dev/null
    cd /var/lib/docker; mount -t overlay -o lowerdir=l,upperdir=u,workdir=w x m
    echo m/* m/dir/*; umount m
    """
    assert exec_as_root(banger, made, "sh", "-c", script).splitlines() == [
        "its own",
        "mine",
        "of the image",
        "hello there /mnt/x/*",
        "6755 1000 1001 1",
        "644 0 0 2",
        "600 0 0 1",
        made,
        "/dev/null",
        "/proc/1/status",
        "m/dir m/dir/kept",
    ]
    assert banger.exec(made, "/cap/cat", "/own").text == "its own"
    ids = [banger.exec(each, "cat", "/etc/machine-id").text for each in (forked, made)]
    assert len(set(ids)) == 2

    banger.do("vm", "stop", "-q", forked)
    refused = banger.run("vm", "commit", forked, "never", status=5)
    assert f"hint: banger vm start {forked}" in refused.err
    refused = banger.run("vm", "commit", made, "no name", status=2)
    assert "is not a valid image name" in refused.err
    assert banger.run("image", "show", "never").status == 4
    banger.do("vm", "delete", made)
    banger.do("image", "delete", name)


def test_a_registered_file_is_the_root(banger: Installation, tmp_path: Path) -> None:
    """A6, D5: VMs read it where it lies; when it is another one they are not started."""
    program = tmp_path / "root/bin/sh"
    program.parent.mkdir(parents=True)
    shutil.copy(BUSYBOX, program)
    (tmp_path / "root/mark").write_text(f"{tmp_path}\n")  # an image of its own for each run
    file = tmp_path / "own.img"
    command = ["mksquashfs", tmp_path / "root", file, "-quiet", "-no-progress", "-all-root"]
    subprocess.run(command, check=True, capture_output=True)
    content = file.read_bytes()
    name = f"own-{hashlib.sha256(content).hexdigest()[:12]}"
    banger.do("image", "register", "-q", name, file)
    vm = "registered"
    banger.do("vm", "create", "--name", vm, *SIZES, "--image", name, "--no-start")
    assert vm in banger.run("image", "delete", name, status=5).err
    file.write_bytes(content[:-1] + b"x")
    assert f"{file}, has changed" in banger.run("vm", "start", vm, status=1).err
    assert banger.state(vm) == "created"
    file.write_bytes(content)
    banger.do("vm", "start", "-q", vm)
    assert banger.exec(vm, "/bin/sh", "-c", "read line </mark; echo $line").text == str(tmp_path)
    banger.do("image", "promote", "-q", name)
    file.unlink()
    banger.do("vm", "restart", "-q", vm)
    assert banger.exec(vm, "/bin/sh", "-c", "read line </mark; echo $line").text == str(tmp_path)
    banger.do("vm", "delete", vm)
    banger.do("image", "delete", name)


def test_a_commit_holds_up_nobody(banger: Installation, forked: str) -> None:
    """C1, C5, A9: Ctrl-C ends it, and so does a stop of the VM, which does not wait for it; nothing
    is left, and the next one is whole."""
    exec_as_root(banger, forked, "truncate", "-s", "1000M", "/slow")

    def begin() -> subprocess.Popen[bytes]:
        client = banger.start("vm", "commit", forked, "half")
        wait_for(lambda: any(banger.layout.staging.glob("*/guest.tar")), "the guest to be read")
        return client

    client = begin()
    client.send_signal(signal.SIGINT)
    assert finish(client).status == 130
    wait_for(lambda: not any(banger.layout.staging.iterdir()), "the staging to be empty")
    exec_as_root(banger, forked, "rm", "/slow")
    banger.do("vm", "commit", "-q", forked, "half")
    banger.do("image", "delete", "half")

    exec_as_root(banger, forked, "truncate", "-s", "1000M", "/slow")
    client = begin()
    banger.do("vm", "stop", "-q", forked)
    ended = finish(client, status=1)
    assert re.search("The VM (has )?ended|guest", ended.err), ended
    assert not any(banger.layout.staging.iterdir())
    assert banger.run("image", "show", "half").status == 4
    banger.exec(forked, "true", status=125)
