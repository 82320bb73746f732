"""Setup commands of a repository: run once, kept as a template, real VMs (A9, C3, D6, D9, F4)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from banger.client import Client
from tests.support import repositories
from tests.support.installations import Ended, Installation, finish, share_artifacts, wait_for
from tests.support.templates import is_in_memory
from tests.support.vms import TINY, TINY_IMAGE, building

COMMANDS = (
    "cat needed > made",
    "od -An -N8 -tx8 /dev/urandom > stamp",
    "env > environment; ls -A > seen",
    "mkdir -p sub/deep && echo tool > sub/deep/tool && echo theirs > tracked",
    "echo system > /etc/made-by-setup",
)
SHAPE = f"""\
image = "{TINY_IMAGE}"
memory = "256M"
disk = "1G"
vcpu = 1
network = "none"
env = {{ OF_FILE = "yes" }}
"""
SHOW = "cat stamp made tracked sub/deep/tool /etc/made-by-setup; ls -A"


@pytest.fixture(scope="module")
def banger(artifacts: None, run_dir: Path) -> Iterator[Installation]:
    """An installation with templates of its own."""
    base = Path(tempfile.mkdtemp(dir=run_dir, prefix="s"))
    environ = dict(os.environ)
    for name in ("STATE_HOME", "RUNTIME_DIR"):
        environ[f"XDG_{name}"] = tempfile.mkdtemp(dir=base)
    environ = share_artifacts(environ) | {"BANGER_TEMPLATE_POOL": "0"}
    with contextlib.closing(Installation(environ)) as installation:
        with building(installation):
            installation.do("template", "build", *TINY_TEMPLATE)
        yield installation


TINY_TEMPLATE = (TINY_IMAGE, *TINY[2:], "--network", "none")


def write_project(top: Path, *commands: str, inputs: tuple[str, ...] = ("needed",)) -> None:
    setup = f"setup.commands = {json.dumps(commands)}\nsetup.inputs = {json.dumps(inputs)}\n"
    repositories.write(top, "banger.toml", (SHAPE + setup).encode())


@pytest.fixture
def top(banger: Installation, tmp_path: Path) -> Path:
    """A repository with setup commands, trusted; its content is no other test's."""
    top = repositories.init(tmp_path / "project")
    repositories.write(top, "needed", b"needed\n")
    repositories.write(top, "tracked", b"ours\n")
    repositories.write(top, "sub/file", b"file\n")
    write_project(top, *COMMANDS, f": {tmp_path.name}")
    repositories.commit(top)
    banger.do("trust", top)
    return top


def run(banger: Installation, top: Path, *command: str, options: tuple[str, ...] = ()) -> Ended:
    return banger.run("vm", "run", "--rm", *options, top, "--", *command, status=0)


def show(banger: Installation, top: Path, *options: str) -> list[str]:
    return run(banger, top, "sh", "-c", SHOW, options=options).text.split()


def layers(banger: Installation) -> list[dict[str, object]]:
    return [each for each in banger.json("template", "list") if each["setup"]]


def test_setup_runs_once_and_again_when_an_input_changes(banger: Installation, top: Path) -> None:
    """What it made is in the workspace, where the repository has nothing; its files are its own."""
    before = len(layers(banger))
    first = show(banger, top)
    assert first[1:5] == ["needed", "ours", "tool", "system"]
    assert {".git", "made", "stamp", "needed", "tracked", "sub"} <= set(first[5:])
    assert show(banger, top) == first
    assert len(layers(banger)) == before + 1
    repositories.write(top, "tracked", b"changed, and no input\n")
    assert show(banger, top)[0] == first[0]
    repositories.write(top, "needed", b"other\n")
    third = show(banger, top)
    assert third[0] != first[0] and third[1] == "other"
    assert len(layers(banger)) == before + 2


def test_the_workspace_is_as_git_knows_it(banger: Installation, top: Path) -> None:
    """A5: beside what setup made there is nothing; tracked files are the host's."""
    repositories.write(top, ".gitignore", b"made\nstamp\nenvironment\nseen\nsub/deep\n")
    repositories.commit(top)
    banger.run("vm", "run", "-d", "--name", "made", top, status=0)
    try:
        assert banger.do("vm", "workspace", "export", "made").out == b""
        left = banger.exec("made", "sh", "-c", "ls -A /root | grep banger-setup")
        assert (left.status, left.text) == (1, "")
    finally:
        banger.do("vm", "delete", "made")


def test_the_layer_holds_inputs_and_no_secret(banger: Installation, top: Path) -> None:
    """D6, A5: setup sees its inputs and the variables of the file, not those of the run."""
    secret = ("-e", "TOKEN=s3cret-of-this-run")
    seen = run(banger, top, "sh", "-c", "cat seen environment", options=secret).text
    assert seen.split("\n")[:5] == ["environment", "made", "needed", "seen", "stamp"]
    assert "OF_FILE=yes" in seen and "s3cret" not in seen
    assert layers(banger) != []
    for each in layers(banger):
        assert not is_in_memory(banger.layout, str(each["key"]), b"s3cret-of-this-run")


@pytest.mark.parametrize("options", [("--no-template",), ()])
def test_a_failure_leaves_nothing_and_says_why(
    banger: Installation, top: Path, options: tuple[str, ...]
) -> None:
    """A9, D9, H6: the end of what it printed; no VM, no template, nothing staged."""
    write_project(top, "echo fine", "echo out of luck >&2; exit 7", "touch /never")
    banger.do("trust", top)
    before = layers(banger)
    ended = banger.run("vm", "run", *options, top, "--", "true", status=125)
    assert "'echo out of luck >&2; exit 7' ended with status 7" in ended.err
    assert "| out of luck" in ended.err
    assert "hint: banger vm run --no-setup PATH" in ended.err
    assert (banger.vms(), layers(banger)) == ([], before)
    assert list(banger.layout.staging.glob("*")) == []
    assert banger.json("gc", "--dry-run") == []


def test_without_templates_it_runs_in_the_vm(banger: Installation, top: Path) -> None:
    """Also where a template has what it made."""
    first, second = show(banger, top), show(banger, top, "--no-template")
    assert second[1:5] == ["needed", "ours", "tool", "system"]
    assert second[0] != first[0]


def test_no_setup_and_dry_run_run_nothing(banger: Installation, top: Path) -> None:
    before = layers(banger)
    planned = banger.run("vm", "run", "--dry-run", top, status=0)
    assert "setup: cat needed > made" in planned.err
    listed = run(banger, top, "ls", "-A", options=("--no-setup",)).text.split()
    assert "made" not in listed and "needed" in listed
    assert layers(banger) == before


def test_two_at_once_run_it_once(banger: Installation, top: Path) -> None:
    """C3, C8."""
    before = len(layers(banger))
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: show(banger, top), range(2)))
    assert both[0] == both[1]
    assert len(layers(banger)) == before + 1


def test_an_input_that_is_a_link_is_refused(banger: Installation, top: Path) -> None:
    """F4: nothing outside of the repository is read, and nothing is made."""
    (top / "needed").unlink()
    (top / "needed").symlink_to("/etc/passwd")
    ended = banger.run("vm", "run", "--rm", top, "--", "true", status=125)
    assert "not followed" in ended.err
    (top / "needed").unlink()
    ended = banger.run("vm", "run", "--rm", top, "--", "true", status=125)
    assert "the input needed of the setup commands does not exist" in ended.err


def test_what_a_request_may_say(banger: Installation) -> None:
    """C7, E1: the daemon checks for itself; what is refused leaves nothing."""
    for setup in (
        {"commands": [], "directory": "/root/a"},
        {"commands": [" "], "directory": "/root/a"},
        {"commands": ["a\0"], "directory": "/root/a"},
        {"commands": ["true"], "directory": "root"},
        {"commands": ["true"], "directory": "/root/../etc"},
        {"commands": ["true"], "directory": "/"},
        {"commands": ["true"], "directory": "/a", "inputs": [{"path": "../b", "content": ""}]},
        {"commands": ["true"], "directory": "/a", "inputs": [{"path": "/b", "content": ""}]},
        {"commands": ["true"], "directory": "/a", "inputs": [{"path": "b", "content": "?"}]},
    ):
        with Client(banger.layout) as client, pytest.raises(Exception) as caught:
            client.call("vm.create", {"setup": setup})
        assert getattr(caught.value, "code", "") == "invalid-request", setup
    assert banger.vms() == []


def test_a_daemon_that_dies_in_the_middle_leaves_nothing(banger: Installation, top: Path) -> None:
    """A9, B5, D9: neither the VM behind the layer, nor a part of it."""
    write_project(top, "echo begun", "exec sleep 7000")
    banger.do("trust", top)
    before = layers(banger)
    process = banger.start("vm", "run", "--rm", top, "--", "true")
    wait_for(lambda: "setup" in json.dumps(banger.json("operations", "list")), "the setup")
    banger.kill_daemon()
    assert finish(process).status == 125
    assert (banger.vms(), layers(banger)) == ([], before)
    wait_for(lambda: not banger.vm_processes(), "the end of the VM")
    wait_for(lambda: not list(banger.layout.staging.glob("*")), "the end of what was staged")
    assert banger.json("gc", "--dry-run") == []


def test_a_client_that_leaves_ends_the_setup(banger: Installation, top: Path) -> None:
    """C5, H3: with its VM."""
    write_project(top, "exec sleep 7001")
    banger.do("trust", top)
    process = banger.start("vm", "run", "--rm", top, "--", "true")
    wait_for(lambda: "setup" in json.dumps(banger.json("operations", "list")), "the setup")
    process.send_signal(signal.SIGINT)
    finish(process, status=130)
    wait_for(lambda: not banger.vm_processes(), "the end of the VM")
    assert banger.json("gc", "--dry-run") == []
