"""Bad input, bad hosts: the exit status, one sentence, a hint, and nothing left behind (H6)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from banger.host.programs import find_tool
from tests.support import repositories
from tests.support.installations import Ended, Installation
from tests.support.namespaces import missing_program
from tests.support.vms import TINY, TINY_IMAGE

CREATE = ("vm", "create", *TINY, "--network", "none", "--no-start")


def require_refusal(ended: Ended, status: int, *facts: str) -> None:
    """Check the exit status, that a sentence comes first, its facts, and that there is a hint."""
    assert ended.status == status, ended
    first, *rest = ended.err.strip().splitlines()
    assert first.startswith("banger: ") and first.endswith((".", "?")), ended.err
    assert any(line.startswith("  hint: ") for line in rest), ended.err
    for fact in facts:
        assert fact in ended.err, (fact, ended.err)
    assert "Traceback" not in ended.err
    assert ended.out == b""


def require_untouched(own: Installation) -> None:
    """Check that there is no trace of a VM."""
    assert own.vms() == []
    assert not list(own.layout.vms.glob("*")) and own.vm_processes() == []
    assert own.json("gc", "--dry-run") == []
    assert not list(own.layout.scratch.glob("*")) and not list(own.layout.staging.glob("*"))


@pytest.mark.parametrize(
    ("words", "status", "facts"),
    [
        (("--vcpu", "0"), 2, ("vcpu", "0")),
        (("--vcpu", "-1"), 2, ("-1",)),
        (("--vcpu", "many"), 2, ("many",)),
        (("--memory", "1M"), 2, ("memory", "128")),
        (("--memory", "-5"), 2, ("-5",)),
        (("--disk", "1M"), 2, ("disk", "64")),
        (("--image", "no-such-image"), 4, ("no-such-image",)),
        (("--kernel", "no-such-kernel"), 4, ("no-such-kernel",)),
        (("--name", "Not_A_Name"), 2, ("Not_A_Name",)),
        (("--driver", "vmware"), 2, ("vmware",)),
        (("--network", "wifi"), 2, ("wifi",)),
        (("--no-such-option",), 2, ("--no-such-option",)),
    ],
)
@pytest.mark.parametrize("verb", ["create", "run"])
def test_a_spec_that_cannot_be(
    own_of_module: Installation,
    verb: str,
    words: tuple[str, ...],
    status: int,
    facts: tuple[str, ...],
) -> None:
    """C7: refused before anything exists; `run` keeps 125 for our own failures."""
    command = ("--", "true") if verb == "run" else ()
    ended = own_of_module.run("vm", verb, *TINY, *words, *command)
    require_refusal(ended, status if verb == "create" else 125, *facts)
    require_untouched(own_of_module)


def test_paths_that_are_no_repository(own: Installation, tmp_path: Path) -> None:
    """C7: the path is checked on the client, first of all."""
    bare = tmp_path / "bare.git"
    repositories.git(tmp_path, "init", "-q", "--bare", bare)
    plain = tmp_path / "plain"
    plain.mkdir()
    missing = tmp_path / "missing"
    for path, fact in ((missing, "missing"), (bare, "bare"), (plain, "plain")):
        ended = own.run("vm", "run", *TINY, path, "--", "true")
        require_refusal(ended, 125, fact)
    require_untouched(own)


def test_a_name_that_is_taken(own: Installation) -> None:
    """C6: the first one stays as it is."""
    own.do(*CREATE, "--name", "one")
    before = own.vms()
    require_refusal(own.run(*CREATE, "--name", "one"), 5, "one already exists")
    assert own.vms() == before


def test_things_that_are_not_there(own: Installation) -> None:
    """H6: each names what was asked for."""
    for words, fact in (
        (("vm", "show", "nobody"), "nobody"),
        (("vm", "start", "nobody"), "nobody"),
        (("vm", "logs", "nobody"), "nobody"),
        (("image", "show", "nothing"), "nothing"),
        (("image", "delete", "nothing"), "nothing"),
        (("kernel", "pull", "nothing"), "nothing"),
    ):
        require_refusal(own.run(*words), 4, fact)


def test_an_image_in_use(own: Installation) -> None:
    """C4: refused, and the users are named."""
    own.do(*CREATE, "--name", "user-of-it")
    require_refusal(own.run("image", "delete", TINY_IMAGE), 5, "user-of-it")
    own.do("image", "show", TINY_IMAGE)


@pytest.mark.parametrize(
    ("tool", "package"),
    [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("mke2fs", "e2fsprogs"),
        ("ssh-keygen", "openssh-client"),
    ],
)
def test_a_missing_tool(own: Installation, tmp_path: Path, tool: str, package: str) -> None:
    """H8: named with the line that installs it; nothing half-made stays."""
    path = find_tool(tool)
    assert path is not None
    ended = own.run("vm", "create", *TINY, prefix=missing_program(path, tmp_path))
    own.stop_daemon()
    require_refusal(ended, 6, tool)
    assert f" {package}" in ended.err.partition("install")[2]
    require_untouched(own)


def test_a_missing_bootstrap(own: Installation, tmp_path: Path) -> None:
    """H8: the image's builder is asked for only when an image is built."""
    recipe = own.layout.state.parent / "other.toml"
    recipe.write_text('name = "other"\nsuite = "bookworm"\nvariant = "essential"\n')
    path = find_tool("mmdebstrap")
    assert path is not None
    prefix = missing_program(path, tmp_path)
    ended = own.run("image", "build", "--file", recipe, "other", prefix=prefix)
    own.stop_daemon()
    require_refusal(ended, 6, "mmdebstrap")
    require_untouched(own)


def test_a_socket_that_is_closed_to_us(own: Installation) -> None:
    """G1: what we may not use is named; no second daemon is started beside it."""
    own.layout.runtime.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(own.layout.daemon_socket))
        listener.listen()
        own.layout.daemon_socket.chmod(0)
        require_refusal(own.run("gc", "--dry-run"), 6, str(own.layout.daemon_socket))
        assert not own.layout.daemon_log.exists()
    own.layout.daemon_socket.unlink()


def test_a_directory_that_is_in_the_way(own: Installation) -> None:
    """G1: a file where the socket should be is not removed."""
    own.layout.runtime.mkdir(parents=True)
    own.layout.daemon_socket.write_text("mine")
    require_refusal(own.run("gc", "--dry-run"), 5, "bangerd.sock")
    assert own.layout.daemon_socket.read_text() == "mine"
    own.layout.daemon_socket.unlink()
