"""What ssh clients and the front say to each other, and the client's configuration."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.api.ssh import (
    ALIAS,
    OK,
    format_greeting,
    format_refusal,
    parse_greeting,
    parse_host,
    require_ok,
)
from banger.cli.app.table import COMMANDS
from banger.cli.commands.ssh_config import exclude_file, include_file
from banger.cli.options.ssh import (
    join_command,
    plan_options,
    render_arguments,
    render_config,
    split_words,
)
from banger.engine.verbs.connect import parse_addresses
from banger.errors import InvalidRequest, WrongState
from banger.ssh.session import format_signal, is_older_scp, parse_environment, parse_signal

OPTIONS = plan_options(
    python="/opt/a b/100%/python",
    program="/opt/a b/100%/proxy",
    known_hosts="/home/u s/100%/known_hosts",
)


@pytest.mark.parametrize("ref", ["calm-otter", "0123456789ab", "a", "a" * 63])
def test_a_greeting_names_a_vm(ref: str) -> None:
    assert parse_greeting(format_greeting(ref)) == ref


@pytest.mark.parametrize("ref", ["", "a b", "../x", "a\n", "a" * 65, "ä", "a.b", "-"])
def test_what_names_no_vm_is_not_sent(ref: str) -> None:
    with pytest.raises(InvalidRequest):
        format_greeting(ref)


@given(st.binary(max_size=300))
def test_no_greeting_breaks_the_front(line: bytes) -> None:
    """E2: it is a greeting of a VM's name, or refused."""
    try:
        ref = parse_greeting(line)
    except InvalidRequest:
        return
    assert line in (format_greeting(ref), format_greeting(ref)[:-1])


def test_a_refusal_is_the_error_itself() -> None:
    """H6: with its class and its hint."""
    require_ok(OK)
    with pytest.raises(WrongState, match="is stopped") as caught:
        require_ok(format_refusal(WrongState("It is stopped.", hint="banger vm start a")))
    assert caught.value.hint == "banger vm start a"


def test_host_names_end_in_vm() -> None:
    assert parse_host("calm-otter.vm") == parse_host("calm-otter") == "calm-otter"


def test_ssh_reads_the_configuration_as_it_is_meant(tmp_path: Path) -> None:
    """G3: our key alone, paths with spaces and %; as a file and as words."""
    config = tmp_path / "config"
    config.write_text(render_config(OPTIONS))
    for words in (["-F", str(config)], ["-F", "none", *render_arguments(OPTIONS)]):
        done = subprocess.run(
            ["ssh", "-G", *words, "box.vm"], capture_output=True, text=True, check=True
        )
        read = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
        assert read["userknownhostsfile"] == "/home/u s/100%/known_hosts"
        assert read["hostkeyalias"] == ALIAS
        assert (read["stricthostkeychecking"], read["proxyusefdpass"]) == ("true", "yes")
        assert read["user"] == "root"
        command = read["proxycommand"].replace("%%", "%").replace("%h", "box.vm")
        proxy, host, *python = shlex.split(command)
        assert (proxy, host) == ("/opt/a b/100%/proxy", "box.vm")
        assert python[0] == "/opt/a b/100%/python" and python[-1] == "box.vm"
        assert read["ciphers"].startswith("aes128-gcm@openssh.com,")
    other = subprocess.run(
        ["ssh", "-G", "-F", str(config), "example.org"], capture_output=True, text=True, check=True
    )
    assert "proxycommand" not in other.stdout


@pytest.mark.parametrize(
    ("words", "options", "command"),
    [
        ([], [], []),
        (["ls", "-l"], [], ["ls", "-l"]),
        (["-L", "1:a:2", "-vN"], ["-L", "1:a:2", "-vN"], []),
        (["-vp", "22", "-p22", "id"], ["-vp", "22", "-p22"], ["id"]),
        (["-t", "--", "-x"], ["-t"], ["-x"]),
        (["-o", "A=b", "sh", "-o"], ["-o", "A=b"], ["sh", "-o"]),
    ],
)
def test_options_of_ssh_end_where_the_command_begins(
    words: list[str], options: list[str], command: list[str]
) -> None:
    assert split_words(words) == (options, command)


@pytest.mark.parametrize(
    ("words", "ref", "rest"),
    [
        (["box"], "box", []),
        (["box", "ls", "-l"], "box", ["ls", "-l"]),
        (["-A", "box", "-N"], "box", ["-A", "-N"]),
        (["-L", "1:a:2", "-vp22", "box", "--", "-x"], "box", ["-L", "1:a:2", "-vp22", "--", "-x"]),
        (["-A", "--", "box", "id"], "box", ["-A", "id"]),
        (["-A"], None, None),
        ([], None, None),
    ],
)
def test_options_of_ssh_may_come_before_the_vm(
    words: list[str], ref: str | None, rest: list[str] | None
) -> None:
    """H1: as ssh itself takes them."""
    parser, _ = next(each for each in COMMANDS if each.path == "vm ssh").load()
    assert parser.split(words) == ([] if ref is None else [ref], rest)


def test_several_words_stay_words() -> None:
    """H1."""
    assert join_command(["ls | wc"]) == ["ls | wc"]
    assert join_command(["echo", "a b", "$x"]) == ["echo 'a b' '$x'"]
    assert join_command([]) == []


@given(st.binary(), st.sampled_from(["/a/config", "/a b/100%/config"]))
def test_the_users_configuration_comes_back(content: bytes, path: str) -> None:
    """G4: byte for byte, however often the line was added."""
    added = include_file(include_file(content, path), path)
    assert added.endswith(content) and added.count(b"\n") == content.count(b"\n") + 1
    assert exclude_file(added, path) == content
    assert added.startswith(b'Include "')


def test_an_older_scp_is_known_by_its_line() -> None:
    assert is_older_scp("scp -r -p -t there") and is_older_scp("scp -f 'a b'")
    assert not any(map(is_older_scp, ("", "scp a b", "scpd -t", "echo -t", "scp --help")))


def test_signals_have_names() -> None:
    assert parse_signal("TERM") == signal.SIGTERM and parse_signal("nonsense") is None
    assert [format_signal(n) for n in (9, 15, 1)] == ["KILL", "TERM", "HUP"]
    assert all(format_signal(n) for n in range(1, 65))


def test_variables_that_no_program_could_read_are_left_out() -> None:
    sent = {b"LC_ALL": b"C\xff", b"": b"x", b"A=B": b"x", b"N": b"\0", b"BAD-NAME": b"x"}
    assert parse_environment(sent) == {"LC_ALL": os.fsdecode(b"C\xff")}


@given(st.binary(max_size=200))
def test_whatever_getent_prints_gives_addresses_or_nothing(lines: bytes) -> None:
    """E2."""
    assert len(parse_addresses(lines)) <= 8


def test_addresses_are_read_once_each() -> None:
    lines = b"10.0.0.1      STREAM db\n10.0.0.1      DGRAM  \n::1 STREAM\nnonsense\n"
    assert parse_addresses(lines) == ("10.0.0.1", "::1")
