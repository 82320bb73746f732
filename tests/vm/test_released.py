"""VMs, templates and snapshots that a released banger left, and this one finds: real processes.

Those of QEMU; test_released_firecracker.py has the other driver's. The release is built from the
history of the repository, which takes a minute and needs a package index. `make test-long
RUNS=upgrade` runs this; what it needs of a release is in rows and manifests in
tests/component/engine/test_released_rows.py, and always runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.artifacts import CHECKOUT
from tests.support.forked import PATH
from tests.support.installations import Ended, Installation, finish
from tests.support.loopbacks import free_udp_port
from tests.support.repositories import git, init
from tests.support.vms import TINY, own_kernels

WANTED = "BANGER_TEST_RELEASE"
RELEASE = "b607c72"

pytestmark = [
    pytest.mark.skipif(WANTED not in os.environ, reason=f"{WANTED} is not set"),
    pytest.mark.timeout(900),
]


class Released:
    """A released banger, in an installation that this one takes over later."""

    def __init__(self, banger: Installation, folder: Path, release: str = RELEASE) -> None:
        self._banger = banger
        self._folder = folder
        tree = subprocess.run(
            ["git", "-C", CHECKOUT, "archive", release], capture_output=True, check=True
        )
        folder.mkdir()
        subprocess.run(["tar", "-x", "-C", folder], input=tree.stdout, check=True)
        subprocess.run([folder / "scripts/venv"], cwd=folder, check=True)

    def do(self, *args: str | Path) -> Ended:
        """Run a command that has to succeed."""
        before = self._banger.environ["PYTHONPATH"].removesuffix(PATH)
        process = subprocess.Popen(
            [self._folder / ".venv/bin/python", "-m", "banger", *map(str, args)],
            env={**self._banger.environ, "PYTHONPATH": f"{before}{self._folder / 'src'}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return finish(process, status=0)


@pytest.fixture(scope="module")
def upgraded(
    own_of_module: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Installation, dict[str, str]]]:
    """An installation whose VMs the release started, and the guests' boot ids."""
    banger, folder = own_of_module, tmp_path_factory.mktemp("release")
    own_kernels(banger)
    for template in banger.layout.templates.iterdir():
        shutil.rmtree(template)
    old = Released(banger, folder / "tree")
    repository = init(folder / "repo")
    (repository / "a").write_text("a\n")
    git(repository, "add", "a")
    git(repository, "commit", "--quiet", "-m", "a")
    old.do("vm", "create", "--name", "one", *TINY, "--label", "team=core", "--ttl", "5h")
    for name in ("paused", "saved", "stopped"):
        old.do("vm", "create", "--name", name, *TINY, "--network", "none")
    old.do("vm", "workspace", "prepare", "one", repository)
    old.do("vm", "exec", "one", "--", "sh", "-c", "echo changed >/root/repo/b")
    old.do("vm", "snapshot", "create", "saved", "early")
    boots = {
        name: old.do("vm", "exec", name, "--", "cat", "/proc/sys/kernel/random/boot_id").text
        for name in ("one", "paused", "saved")
    }
    old.do("vm", "pause", "paused")
    old.do("vm", "stop", "stopped")
    old.do("daemon", "stop")
    yield banger, boots
    banger.delete_all()


def test_running_vms_are_adopted(upgraded: tuple[Installation, dict[str, str]]) -> None:
    """B11: the same boots; exec, ports, pause, commit and set work at once."""
    banger, boots = upgraded
    states = {vm["name"]: vm["state"] for vm in banger.vms()}
    assert states == {
        "one": "running",
        "paused": "paused",
        "saved": "running",
        "stopped": "stopped",
    }
    banger.do("vm", "resume", "paused")
    assert {name: banger.boot_id(name) for name in boots} == boots
    banger.do("vm", "pause", "one")
    banger.do("vm", "resume", "one")
    assert banger.boot_id("one") == boots["one"]
    shown = banger.vm("one")
    assert (shown["labels"], shown["ttl_s"]) == ({"team": "core"}, 18000.0)
    banger.exec("one", "sh", "-c", "echo file >/srv/file", status=0)
    assert b"file\n" in banger.do("vm", "cp", "one:/srv/file", "-").out
    banger.do("vm", "ports", "one")
    banger.do("vm", "set", "one", "--label", "team=new", "--name", "uno")
    banger.do("vm", "set", "uno", "--name", "one")
    banger.do("vm", "commit", "one", "of-one")
    assert banger.json("gc", "--dry-run") == []


def test_what_needs_a_restart_says_so(upgraded: tuple[Installation, dict[str, str]]) -> None:
    """H6: the agent and the VMM are the release's until then."""
    banger, _ = upgraded
    for command in (("workspace", "export", "one"), ("workspace", "prepare", "one", CHECKOUT)):
        refused = banger.run("vm", *command, status=1).err
        assert "agent of an older banger" in refused and "banger vm restart" in refused
    for command in (("snapshot", "create", "one"), ("fork", "one")):
        refused = banger.run("vm", *command, status=1).err
        assert "another version of banger" in refused and "banger vm restart one" in refused
    port = free_udp_port()
    lacks = "Until it is restarted, the VM runs the agent of an older banger, which cannot"
    for place, what in ((f"{port}:53/udp", "relay UDP"), (f"{port}:/run/a", "connect to Unix")):
        assert f"{lacks} {what}" in banger.do("vm", "port", "add", "one", place).err
        assert f"{lacks} {what}" in banger.do("vm", "ports", "one").err
        blocked = [each for each in banger.json("vm", "ports", "one") if each["is_published"]]
        assert {each["state"] for each in blocked} == {"blocked"}


def test_its_templates_are_not_used(upgraded: tuple[Installation, dict[str, str]]) -> None:
    """D5: they are listed, and go with those that nobody uses; a new VM has a new one."""
    banger, _ = upgraded
    old = {template["key"] for template in banger.json("template", "list")}
    assert len(old) == 2
    banger.do("vm", "create", "--name", "new", *TINY, "--network", "none")
    assert banger.vm("new")["template"] not in old
    banger.do("vm", "restart", "paused")
    banger.do("vm", "kill", "one")
    banger.do("vm", "kill", "saved")
    banger.do("template", "prune")
    assert not old & {template["key"] for template in banger.json("template", "list")}
    banger.do("vm", "start", "one")
    banger.do("vm", "start", "saved")


def test_a_restart_brings_everything(upgraded: tuple[Installation, dict[str, str]]) -> None:
    """A1, B11: data stays; the VM has this banger's agent, unless it has snapshots."""
    banger, boots = upgraded
    assert banger.exec("one", "cat", "/srv/file", status=0).text == "file"
    assert "+changed" in banger.do("vm", "workspace", "export", "one").text
    assert banger.boot_id("one") != boots["one"]
    banger.do("vm", "snapshot", "create", "one", "late")
    banger.do("vm", "snapshot", "restore", "one", "late")
    assert "another version of banger" in (
        banger.run("vm", "snapshot", "restore", "saved", "early", status=1).err
    )
    assert "keeps the agent of an older banger" in banger.do("vm", "restart", "saved").err
    banger.do("vm", "snapshot", "delete", "saved", "early")
    assert "older banger" not in banger.do("vm", "restart", "saved").err
    published = [each for each in banger.json("vm", "ports", "one") if each["is_published"]]
    assert [each["state"] for each in published] == ["open", "open"]
    kernels = {banger.vm(name)["kernel_digest"] for name in ("one", "paused", "saved", "new")}
    assert len(kernels) == 1
    banger.do("vm", "start", "stopped")
    banger.do("vm", "delete", "stopped")
    assert banger.json("gc", "--dry-run") == []
