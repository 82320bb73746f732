"""`secret set`, `list`, `delete` with the real daemon: what is kept, and where it is not."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.component.cli.terminal import Terminal
from tests.support.installations import Installation

VALUE = b"the-value-of-the-token"
HOSTS = ("--host", "api.example", "--host", "Other.example")


def holders(banger: Installation, value: bytes) -> list[str]:
    """Return the names of the files that hold a value."""
    roots = (banger.layout.state, banger.layout.data, banger.layout.runtime)
    files = (path for root in roots for path in root.rglob("*") if path.is_file())
    return sorted(path.name for path in files if value in path.read_bytes())


def test_a_secret_is_kept_in_a_file_of_the_users_alone(banger: Installation) -> None:
    """G6: its value is in no other file, and nothing prints it; a database and logs are there."""
    ended = banger.do("secret", "set", "TOKEN", *HOSTS, stdin=VALUE + b"\n")
    assert ended.err.strip() == "saved TOKEN for api.example, other.example"
    banger.run("secret", "set", "TOKEN", "--host", "203.0.113.7", stdin=VALUE, status=2)
    assert holders(banger, VALUE) == ["TOKEN.json"]
    path: Path = banger.layout.secrets / "TOKEN.json"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert banger.json("secret", "list") == [
        {
            "name": "TOKEN",
            "hosts": ["api.example", "other.example"],
            "headers": ["authorization", "x-api-key"],
            "vms": [],
        }
    ]
    assert "api.example, other.example" in banger.do("secret", "ls").text
    for words in (("vm", "run", "--secret", ""), ("secret", "rm", "T")):
        offered = banger.do("__complete", *words).text
        assert offered.splitlines()[0] == "TOKEN\tapi.example, other.example"
    banger.do("secret", "set", "TOKEN", "--header", "X-Key", stdin=b"another")
    assert holders(banger, VALUE) == []
    (secret,) = banger.json("secret", "list")
    assert (secret["hosts"], secret["headers"]) == (["api.example", "other.example"], ["x-key"])
    for words in (("vm", "create", "--secret", "TOKN"), ("secret", "rm", "TOKN")):
        assert "did you mean TOKEN?" in banger.run(*words, status=4).err
    banger.do("secret", "rm", "TOKEN")
    assert banger.json("secret", "list") == []
    assert "banger secret list" in banger.run("secret", "rm", "TOKEN", status=4).err


def test_a_command_gives_the_value(banger: Installation) -> None:
    """G2, G6: with the user's variables and by no shell; one that fails saves nothing."""
    words = ("secret", "set", "TOKEN", "--host", "api.example", "--command")
    banger.do(*words, "printenv OWN", env={"OWN": f"{VALUE.decode()} ; $HOME"})
    assert holders(banger, VALUE + b" ; $HOME") == ["TOKEN.json"]
    banger.do("secret", "rm", "TOKEN")
    for command, said in (
        ("sh -c 'echo the-value; exit 3'", "sh ended with status 3"),
        ("no-such-program", "no-such-program is not installed; nothing was saved"),
        (" ", "no command"),
        ("", "no command"),
        ("'", "is not a command"),
    ):
        ended = banger.run(*words, command)
        assert ended.status != 0
        assert said in ended.err
        assert "the-value" not in ended.err.replace(command, "")
    assert banger.json("secret", "list") == []


def test_no_value_at_all_saves_nothing(banger: Installation) -> None:
    """H7: stdin is closed, or a terminal's user gives up; neither is a bug of ours."""
    words, no_value = ("secret", "set", "TOKEN", "--host", "api.example"), "The value of TOKEN is"
    closed = ("sh", "-c", 'exec "$@" <&-', "sh")
    assert no_value in banger.run(*words, prefix=closed, status=2).err
    with contextlib.closing(Terminal(banger.environ, *words)) as terminal:
        terminal.expect(b"Value of TOKEN: ")
        terminal.send(b"\x04")
        terminal.expect(no_value.encode())
    assert banger.json("secret", "list") == []


def test_a_damaged_file_is_told_and_one_that_has_just_gone_is_not(banger: Installation) -> None:
    """C7: the command that the error names mends it."""
    words = ("secret", "set", "TOKEN", "--host", "api.example")
    banger.do(*words, stdin=VALUE)
    (banger.layout.secrets / "GONE.json").symlink_to("nowhere")
    path = banger.layout.secrets / "TOKEN.json"
    path.write_bytes(path.read_bytes().replace(VALUE, b"\xff"))
    damaged = "The file of the secret TOKEN is damaged"
    assert damaged in banger.run("secret", "list", status=1).err
    banger.do(*words, stdin=VALUE)
    assert [each["name"] for each in banger.json("secret", "list")] == ["TOKEN"]


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--secret", "NONE"), 4, "banger secret set NONE --host HOST"),
        (("--secret", "../TOKEN"), 2, "not the name of a secret"),
        (("--secret", "NONE", "--egress", "public"), 2, "--egress registries"),
        (("--secret", "NONE", "--network", "none"), 2, "--network user"),
    ],
)
def test_a_vm_that_could_not_have_its_secret_is_refused(
    banger: Installation, options: tuple[str, ...], status: int, said: str
) -> None:
    """C7: before anything is made."""
    ended = banger.run("vm", "create", *options, status=status)
    assert said in ended.err
    assert banger.vms() == []
