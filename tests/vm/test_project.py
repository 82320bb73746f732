"""`banger.toml` of a repository, followed by real VMs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import repositories
from tests.support.imports import BUSYBOX, import_layers
from tests.support.installations import Installation, wait_for
from tests.support.tars import Member, make_tar, symlink
from tests.support.vms import TINY, TINY_IMAGE

FILE = f"""\
image = "{TINY_IMAGE}"
memory = "256M"
disk = "1G"
vcpu = 1
network = "none"
ports = [8123]
env = {{ GREETING = "good day" }}
"""
NOTHING = "The workspace is read-only: there is nothing to export."


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = repositories.init(tmp_path / "project")
    repositories.write(top, "banger.toml", FILE.encode())
    repositories.commit(top)
    return top


def test_a_vm_is_as_its_repository_says(banger: Installation, top: Path) -> None:
    """Shape, ports, and variables of every command, that of `vm exec`, too."""
    banger.do("trust", str(top))
    name = banger.do("vm", "run", "-d", str(top)).text
    try:
        (shown,) = [vm for vm in banger.vms() if vm["name"] == name]
        assert (shown["vcpu"], shown["memory_mib"], shown["network"]) == (1, 256, "none")
        assert banger.exec(name, "sh", "-c", "echo $GREETING", status=0).text == "good day"
        (port,) = banger.json("vm", "port", "list", name)
        assert port["guest_port"] == 8123
    finally:
        banger.do("vm", "delete", name)


def test_a_read_only_workspace_stays_so_over_a_boot(
    banger: Installation, top: Path, tmp_path: Path
) -> None:
    """D6, H6: as the file says; writes fail as on any read-only file system; nothing comes back.

    A5: what is excluded is not there.
    """
    layer = make_tar(
        Member("bin/busybox", BUSYBOX.read_bytes(), mode=0o755),
        *(symlink(f"bin/{name}", "busybox") for name in ("sh", "ls", "mount", "umount")),
    )
    file = FILE.replace(TINY_IMAGE, import_layers(banger, tmp_path, [layer]))
    text = f'{file}[workspace]\nread_only = true\nexclude = ["*.pem"]\n'
    repositories.write(top, "key.pem", b"private\n")
    repositories.write(top, "banger.toml", text.encode())
    repositories.commit(top)
    banger.do("trust", top)
    name = banger.do("vm", "run", "-d", "--no-template", top).text
    try:
        for is_new in (True, False):
            if not is_new:
                banger.do("vm", "restart", name)
            refused = banger.exec(name, "sh", "-c", "echo x >banger.toml")
            assert refused.status != 0 and "Read-only file system" in refused.err
            assert banger.exec(name, "ls", status=0).text == "banger.toml"
        told = banger.do("vm", "workspace", "export", name)
        assert (told.out, told.err.strip()) == (b"", NOTHING)
        assert NOTHING in banger.do("vm", "workspace", "diff", name).err
        assert NOTHING in banger.do("vm", "workspace", "apply", name).err
        refused = banger.run("vm", "workspace", "export", name, "--branch", "b", status=2)
        assert NOTHING in refused.err
        assert (
            banger.do("vm", "workspace", "status", name).text.splitlines()[0].endswith("read-only")
        )
        banger.do("vm", "workspace", "prepare", name, top)
        banger.exec(name, "sh", "-c", "echo x >banger.toml", status=0)
    finally:
        banger.do("vm", "delete", name)


SESSIONS = """\
[sessions]
web = 'pwd; echo $GREETING; exec sleep 7000'
other = 'exit 3'
"""


def test_reuse_finds_the_vm_of_the_repository(banger: Installation, top: Path) -> None:
    """H4: the newest that is not somebody else's `--rm`; stopped it is started; never deleted.

    Its sessions are started anew when it is started again.
    """
    repositories.write(top, "banger.toml", f"reuse = true\n{FILE}{SESSIONS}".encode())
    repositories.write(top, "sub/file", b"content\n")
    repositories.commit(top)
    banger.do("trust", top)
    before = {vm["id"] for vm in banger.vms()}
    try:
        made = banger.run("vm", "run", top, "--", "sh", "-c", "echo 1 > mark; hostname", status=0)
        name = made.text
        told = f"Sessions started: web other (banger vm session list {name})"
        assert told in made.err
        require_sessions(banger, name)
        again = banger.run("vm", "run", top / "sub", "--", "sh", "-c", "cat ../mark file; hostname")
        assert (again.status, again.text.split()) == (0, ["1", "content", name])
        assert f"Using {name}" in again.err and told not in again.err
        banger.do("vm", "stop", name)
        planned = banger.run("vm", "run", "--dry-run", top, status=0)
        assert f"reuse: {name} has this repository" in planned.err
        assert "session other: exit 3" in planned.err
        assert banger.run("vm", "run", "-d", top, status=0).text == name
        assert banger.state(name) == "running"
        require_sessions(banger, name)
        other = banger.run("vm", "run", "--rm", top, "--", "cat", "mark")
        assert other.status == 1
        failed = banger.run("vm", "run", "--reuse", top, "--", "sh", "-c", "exit 3")
        assert (failed.status, banger.state(name)) == (3, "running")
        named = banger.run("vm", "run", "--name", "anew", top, "--", "hostname", status=0)
        assert named.text == "anew"
    finally:
        banger.do("vm", "delete", *(v["id"] for v in banger.vms() if v["id"] not in before))


def require_sessions(banger: Installation, vm: str) -> None:
    """Check that both were started in the workspace, with the variables of the file."""
    listed = banger.json("vm", "session", "list", vm)
    assert {each["name"] for each in listed} == {"web", "other"}
    shown = ["/root/project", "good day"]
    wait_for(lambda: banger.do("vm", "logs", vm, "web").text.split("\n") == shown, "the output")
    banger.run("vm", "wait", vm, "other", status=3)


SMALL = (*TINY[2:], "--network", "none")


def write_devcontainer(banger: Installation, top: Path, **more: object) -> None:
    (top / "banger.toml").unlink(missing_ok=True)
    content = {"image": TINY_IMAGE, "containerEnv": {"A": "1"}, "workspaceFolder": "/work/here"}
    repositories.write(top, ".devcontainer.json", json.dumps(content | more).encode())
    repositories.commit(top)
    banger.do("trust", top)


def test_a_devcontainer_is_followed(banger: Installation, top: Path) -> None:
    """Its commands run in the workspace, before ours, and nothing of them is in our output."""
    write_devcontainer(
        banger,
        top,
        postCreateCommand={"one": "echo loud; echo $A >> mark", "two": ["touch", "a b"]},
        postStartCommand="echo started >> mark",
        remoteEnv={"HERE": "${localEnv:HOME}"},
    )
    words = ("vm", "run", *SMALL, "--reuse", "--name", "contained", top, "--")
    try:
        ended = banger.run(*words, "sh", "-c", "pwd; cat mark; ls; echo ${HERE-unset}", status=0)
        assert ended.text.split("\n") == ["/work/here", "1", "started", "a b", "mark", "unset"]
        assert "remoteEnv.HERE is left out" in ended.err
        banger.do("vm", "stop", "contained")
        assert banger.run(*words, "cat", "mark", status=0).text == "1\nstarted\nstarted"
    finally:
        banger.run("vm", "delete", "contained")


def test_a_command_of_a_devcontainer_that_fails(banger: Installation, top: Path) -> None:
    """H5, H6: the end of what it printed is told, and the VM is gone; --no-setup goes on."""
    write_devcontainer(banger, top, postCreateCommand="echo no luck >&2; exit 4")
    before = {vm["id"] for vm in banger.vms()}
    words = ("vm", "run", "--rm", *SMALL)
    ended = banger.run(*words, top, "--", "echo", "never", status=125)
    assert "ended with status 4" in ended.err and "| no luck" in ended.err
    assert ended.out == b"" and {vm["id"] for vm in banger.vms()} == before
    assert banger.run(*words, "--no-setup", top, "--", "echo", "on", status=0).text == "on"


def test_language_and_time_zone_of_the_host(banger: Installation) -> None:
    """Of every command in the VM, on request; else the guest has its own."""
    env = {"LANG": "C.UTF-8", "LC_TIME": "C", "TZ": "XYZ-5"}
    show = ("sh", "-c", "date +%z; echo $LC_TIME")
    for options, expected in (((), "+0000\n"), (("--host-locale",), "+0500\nC")):
        name = banger.run("vm", "create", *SMALL, *TINY[:2], *options, env=env, status=0).text
        try:
            assert banger.exec(name, *show, status=0).text == expected
        finally:
            banger.do("vm", "delete", name)
    words = ("vm", "run", "--rm", *SMALL, *TINY[:2], "--host-locale", "--")
    assert banger.run(*words, *show, env=env, status=0).text == "+0500\nC"
