"""`banger env`: what it prints is what each shell understands."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.names.server import plan_ports
from tests.support.installations import Installation, wait_for
from tests.support.loopbacks import free_front_port

SHELLS = {
    "sh": ("sh", 'eval "$(cat)"; echo "$ALL_PROXY $all_proxy"'),
    "bash": ("sh", 'eval "$(cat)"; echo "$ALL_PROXY $all_proxy"'),
    "zsh": ("sh", 'eval "$(cat)"; echo "$ALL_PROXY $all_proxy"'),
    "fish": ("fish", 'source; echo "$ALL_PROXY $all_proxy"'),
}


@pytest.fixture
def banger(private_environ: dict[str, str]) -> Iterator[Installation]:
    private_environ |= {"BANGER_NAMES_SOCKS_PORT": str(free_front_port())}
    with contextlib.closing(Installation(private_environ)) as installation:
        yield installation


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_sets_and_forgets_the_variables(banger: Installation, shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"this host has no {shell}")
    kind, script = SHELLS[shell]
    banger.environ["SHELL"] = program
    printed = banger.do("env").out
    assert printed == banger.do("env", "--shell", kind).out
    proxy = f"socks5h://127.0.0.1:{banger.environ['BANGER_NAMES_SOCKS_PORT']}"
    forgotten = printed + banger.do("env", "--unset").out
    for sent, expected in ((printed, f"{proxy} {proxy}\n"), (forgotten, " \n")):
        done = subprocess.run([program, "-c", script], input=sent, capture_output=True, check=True)
        assert done.stdout.decode() == expected


def test_a_shell_that_is_not_the_login_shell_gets_its_own_words(banger: Installation) -> None:
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("this host has no fish")
    banger.environ["SHELL"] = "/bin/bash"
    script = "banger env | source; banger env --unset | source; set -q ALL_PROXY; or echo unset"
    path = f"{Path(sys.executable).parent}:{banger.environ['PATH']}"
    done = subprocess.run(
        [fish, "-c", script], env=banger.environ | {"PATH": path}, capture_output=True, check=True
    )
    assert done.stdout == b"unset\n"
    banger.environ["SHELL"] = fish
    done = subprocess.run(
        ["sh", "-c", "banger env; true"],
        env=banger.environ | {"PATH": path},
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(b"export ALL_PROXY=")


def test_csh_has_words_of_its_own(banger: Installation) -> None:
    port = banger.environ["BANGER_NAMES_SOCKS_PORT"]
    expected = f"setenv ALL_PROXY socks5h://127.0.0.1:{port}"
    assert banger.do("env", env={"SHELL": "/bin/tcsh"}).text.splitlines()[0] == expected
    assert banger.do("env", "--shell", "csh", "--unset").text.splitlines()[0] == (
        "unsetenv ALL_PROXY"
    )


def test_no_variable_names_a_port_at_which_nothing_of_ours_listens(banger: Installation) -> None:
    """H6: the port is taken, and the spare ones with it, or it is switched off."""
    port = int(banger.environ["BANGER_NAMES_SOCKS_PORT"])
    with contextlib.ExitStack() as taken:
        taken.enter_context(socket.create_server(("127.0.0.1", port)))
        assert str(port) not in banger.do("env").text
        banger.stop_daemon()
        for each in plan_ports(port, spares=True)[1:]:
            with contextlib.suppress(OSError):  # somebody else has it
                taken.enter_context(socket.create_server(("127.0.0.1", each)))
        refused = banger.run("env", status=6)
        assert refused.out == b""
        assert "SOCKS connections to VMs are unavailable: Another program on this host listens" in (
            refused.err
        )
        assert str(port) in refused.err
    wait_for(lambda: banger.run("env").status == 0, "the proxy")
    banger.stop_daemon()
    banger.environ["BANGER_NAMES_SOCKS_PORT"] = "0"
    assert "switched off" in banger.run("env", status=6).err
