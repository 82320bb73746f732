"""Images of layers in real guests: what the layers say is what a program in the guest meets."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import struct
from pathlib import Path

import pytest

from tests.component.cli.terminal import Terminal
from tests.support.installations import Installation
from tests.support.tars import (
    Member,
    directory,
    docker_archive,
    hard_link,
    image_config,
    make_tar,
    symlink,
)

BUSYBOX = Path(shutil.which("busybox") or "/nonexistent")
pytestmark = pytest.mark.skipif(not BUSYBOX.exists(), reason="busybox is not installed")

SIZES = ("--memory", "256M", "--disk", "1G", "--vcpu", "1", "--network", "none")
CAP_DAC_READ_SEARCH = struct.pack("<5I", 0x02000001, 1 << 2, 0, 0, 0)
APPLETS = ("sh", "cat", "id", "ls", "pwd", "stat")
PASSWD = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"


def import_layers(banger: Installation, folder: Path, layers: list[bytes], **config: object) -> str:
    """Import an image under a name that goes with its content: runs share images."""
    archive = docker_archive(layers, config=image_config(layers, **config))
    name = f"test-{hashlib.sha256(archive).hexdigest()[:12]}"
    (folder / "image.tar").write_bytes(archive)
    banger.do("image", "import", "-q", folder / "image.tar", name)
    return name


def test_an_image_like_busybox(banger: Installation, tmp_path: Path) -> None:
    """F1, F2: owners, setuid, capabilities, links, whiteouts, names; the image's own defaults."""
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
    )
    upper = make_tar(
        Member(".wh.gone"),
        hard_link("second", "secret"),
        Member("cap/cat", program, mode=0o755, xattrs={"security.capability": CAP_DAC_READ_SEARCH}),
        Member("suid/cat", program, mode=0o4755),
    )
    image = import_layers(
        banger,
        tmp_path,
        [lower, upper],
        Env=["GREETING=hello there", "PATH=/bin"],
        WorkingDir="/work",
        User="app",
    )
    vm = banger.do("vm", "run", "-d", "-q", *SIZES, "--image", image, "--no-template").text
    script = 'echo "$GREETING"; id -u; pwd; echo /closed/*; cat /closed/*; ls -d /gone; cat /secret'
    said = banger.exec(vm, "sh", "-c", script)
    assert said.out == b"hello there\n1000\n/work\n/closed/\xff\xfe\nraw\n", said
    assert "/gone" in said.err and "/secret" in said.err
    assert banger.exec(vm, "/cap/cat", "/secret").out == b"secret\n"
    facts = banger.exec(vm, "stat", "-c", "%a %u %h %Y", "/second", "/suid/cat")
    assert facts.text.splitlines() == ["600 0 2 86400", "4755 0 1 1000"]
    missing = banger.exec(vm, "no-such-program", status=127)
    assert f"hint: banger image show {image}" in missing.err
    banger.do("vm", "delete", vm)


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
    assert banger.do("vm", "exec", vm, "-u", "0", "--", "/busybox", "id", "-u").text == "0"
    key = "/etc/ssh/ssh_host_ed25519_key"
    size = banger.do("vm", "exec", vm, "-u", "0", "--", "/busybox", "stat", "-c", "%s", key)
    assert int(size.text) > 100
    for shell in ("sh", "/bin/sh"):
        refused = banger.exec(vm, shell, "-c", "true", status=127)
        assert f"hint: banger image show {image}" in refused.err
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


def test_an_image_that_names_nothing_to_run(banger: Installation, tmp_path: Path) -> None:
    """H6: its VM is there, and the message says what can be done with it."""
    image = import_layers(banger, tmp_path, [make_tar(Member("none", b""))])
    ended = banger.run(
        "vm", "run", "-q", "--name", "idle", *SIZES, "--image", image, "--entrypoint"
    )
    assert (ended.status, ended.out) == (125, b"")
    assert "names nothing to run" in ended.err and "vm exec idle --" in ended.err
    banger.do("vm", "delete", "idle")
