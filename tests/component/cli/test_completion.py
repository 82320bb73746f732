"""Completion in bash, zsh and fish themselves (H10): commands, options, names, values, paths."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from banger.cli.app.candidates import CHOICES, SOURCES, find_kind
from banger.cli.app.table import COMMANDS
from tests.component.cli.terminal import Terminal
from tests.component.daemon.running import banger, with_sources

Environ = dict[str, str]

LINES = {
    "banger dae": "daemon",
    "banger vm wo": "vm workspace",
    "banger vm run --dr": "vm run --dr",
    "banger vm run --dry": "vm run --dry-run",
    "banger vm stop b": "vm stop box",
    "banger stop b": "stop box",
    "banger vm exec -u root b": "vm exec -u root box",
    "banger vm create --network n": "vm create --network none",
    "banger vm list --filter state=ru": "vm list --filter state=running",
    "banger image import archi": "image import archive.tar",
    "banger vm run reposi": "vm run repository/",
    "banger vm exec box -- --det": "vm exec box -- --det",
    "banger web to": "web token",
    "banger web --li": "web --listen",
}
"""What is typed before the tab key, and the words of `banger` after it."""
STARTER = """\
#!/bin/sh
[ "$1" = __complete ] || exec printf '<<%s>>\\n' "$*"
exec {python} -m banger "$@"
"""


@pytest.fixture
def shells(vm: Environ, tmp_path: Path) -> Environ:
    """An environment with a `banger` that prints its words, something to complete, and a VM."""
    starter = tmp_path / "bin/banger"
    starter.parent.mkdir()
    starter.write_text(STARTER.format(python=sys.executable))
    starter.chmod(0o755)
    here = tmp_path / "here"
    (here / "repository").mkdir(parents=True)
    (here / "archive.tar").touch()
    environ = {**vm, "PATH": f"{starter.parent}:/usr/bin:/bin", "HERE": str(here)}
    for shell in ("bash", "zsh", "fish"):
        done = banger(environ, "completion", "install", shell)
        environ[shell] = done.stderr.decode().split()[1].rstrip(";")
    return environ


def _require(shell: str) -> str:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    return path


START = {
    "bash": "--norc --noprofile -i",
    "zsh": "-f -i",
}
PREPARE = {
    "bash": "cd $HERE; . $bash",
    "zsh": "cd $HERE; fpath=(${zsh:h} $fpath); autoload -U compinit; compinit -u -D; "
    "zstyle ':completion:*' insert-tab false",
}


@pytest.mark.parametrize("shell", START)
def test_the_tab_key_completes(shells: Environ, shell: str) -> None:
    """The script is where the shell finds it, and a person's shell asks it."""
    program = f"{_require(shell)} {START[shell]}"
    with closing(Terminal(shells, program=program)) as terminal:
        terminal.send(PREPARE[shell].encode() + b"\nbanger ready\n")
        terminal.expect(b"<<ready>>")
        for typed, words in LINES.items():
            terminal.send(typed.encode() + b"\t\n")
            terminal.expect(b"<<")
            terminal.expect(b">>", keep=True)
            shown, _, terminal.output = terminal.output.partition(b">>")
            # zsh takes the slash of a directory back when the line ends.
            assert shown.decode().rstrip().rstrip("/") == words.rstrip("/"), typed


def test_fish_completes_with_descriptions(shells: Environ) -> None:
    fish = _require("fish")
    typed = "; ".join(f"echo '== {line}'; complete -C '{line}'" for line in LINES)
    done = subprocess.run(
        [fish, "--no-config", "-c", f"cd $HERE; source $fish; {typed}"],
        env=with_sources(shells),
        capture_output=True,
        timeout=110,
        check=True,
    )
    pages = done.stdout.decode().split("== ")[1:]
    found = {page.partition("\n")[0]: page.partition("\n")[2].splitlines() for page in pages}
    for line, words in LINES.items():
        last = words.split()[-1]
        offered = [one.partition("\t")[0] for one in found[line]]
        if words == line.removeprefix("banger "):
            assert last not in offered, line
        else:
            assert offered[0] == last, line
    assert found["banger vm stop b"] == ["box\trunning, debian-bookworm"]


def test_nothing_is_offered_and_nothing_started_without_a_daemon(private_environ: Environ) -> None:
    """B8. Commands and options are there."""
    done = banger(private_environ, "__complete", "vm", "stop", "")
    assert (done.returncode, done.stdout, done.stderr) == (0, b":none\n", b"")
    assert b"--timeout\t" in banger(private_environ, "__complete", "vm", "stop", "--").stdout
    assert not list(Path(private_environ["XDG_RUNTIME_DIR"]).iterdir())


def test_an_install_that_cannot_be_written_is_told(private_environ: Environ) -> None:
    environ = {**private_environ, "XDG_DATA_HOME": "/proc/none"}
    done = banger(environ, "completion", "install", "bash")
    assert done.returncode == 1
    assert b"/proc/none/bash-completion/completions/banger cannot be written" in done.stderr
    assert banger({**environ, "SHELL": "/bin/tcsh"}, "completion", "install").returncode == 2


def test_every_name_that_a_command_takes_can_be_completed() -> None:
    """An argument of a kind that has names is never left to files."""
    for command in COMMANDS:
        parser, _ = command.load()
        for action in parser._actions:
            kind = find_kind(command.path, action.dest, str(action.metavar))
            assert kind in {*CHOICES, *SOURCES, "files", "dirs", "none"}
            if action.metavar in ("VM", "IMAGE", "KERNEL", "TEMPLATE", "ID"):
                assert kind in SOURCES, command.path
            if str(action.metavar) in ("FILE", "RECIPE", "PATH") and not action.option_strings:
                assert kind in ("files", "dirs"), command.path
