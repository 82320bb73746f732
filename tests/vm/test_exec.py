"""Commands in a guest: what they are given and how they end (hazards H1, H3, H7)."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from banger.client import Client
from tests.support.installations import Installation, finish, read_line, wait_for


@pytest.mark.parametrize("status", [0, 1, 42, 125, 126, 127, 255])
def test_the_exit_status_is_the_commands_own(
    banger: Installation, system: str, status: int
) -> None:
    """H1: also statuses that look like ours; then nothing is said on stderr."""
    ended = banger.exec(system, "sh", "-c", f"exit {status}")
    assert (ended.status, ended.out, ended.err) == (status, b"", "")


def test_what_runs_in_a_guest_is_listed(banger: Installation, system: str) -> None:
    """E2: by the agent, from the guest's kernel; the threads of that are left out."""
    listed = banger.json("vm", "top", system)
    init = listed[0]
    assert (init["pid"], init["user"]) == (1, "root")
    assert "systemd" in init["command"] or "init" in init["command"]
    assert init["resident_bytes"] > 0 and init["cpu_s"] > 0
    assert not any(each["of_kernel"] for each in listed)
    every = banger.json("vm", "top", "--all", system)
    assert "[kthreadd]" in [each["command"] for each in every]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_command_that_a_signal_ended(banger: Installation, system: str, number: int) -> None:
    """H1: as a shell says it."""
    assert banger.exec(system, "sh", "-c", f"kill -{number} $$").status == 128 + number


@pytest.mark.parametrize(
    ("command", "status", "fact"),
    [
        ("no-such-program", 127, "no-such-program"),
        ("/no/such/program", 127, "/no/such/program"),
        ("/etc/hostname", 126, "/etc/hostname"),
        ("/root", 126, "/root"),
    ],
)
def test_a_command_that_cannot_be_run(
    banger: Installation, system: str, command: str, status: int, fact: str
) -> None:
    """H1, H6: 127 not found, 126 not executable; the message names the program."""
    ended = banger.exec(system, command)
    assert ended.status == status
    assert ended.err.startswith("banger: ") and fact in ended.err


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        (("-w", "/no/such/directory"), "/no/such/directory"),
        (("-u", "nobody-here"), "nobody-here"),
    ],
)
def test_our_own_failure_is_125(
    banger: Installation, system: str, options: tuple[str, ...], fact: str
) -> None:
    """H1: our error does not look like the command's."""
    ended = banger.run("vm", "exec", *options, system, "--", "true")
    assert ended.status == 125
    assert ended.err.startswith("banger: ") and fact in ended.err


def test_an_unknown_vm_is_our_own_failure(banger: Installation, system: str) -> None:
    """H1, H6."""
    ended = banger.exec("no-such-vm", "true")
    assert ended.status == 125
    assert "no-such-vm" in ended.err and "hint: banger vm list" in ended.err


def test_words_are_passed_on_as_they_are(banger: Installation, system: str) -> None:
    """H1, G2: no shell on the way splits, expands or unquotes them; nor need they be text."""
    words = [
        "",
        " ",
        "a b",
        "$HOME",
        "*",
        "'",
        '"',
        "\\",
        "a\nb",
        "-x",
        "--",
        "ü日",
        "\udcff\udc80",
    ]
    ended = banger.exec(system, "printf", "%s\\0", *words, status=0)
    assert ended.out.decode("utf-8", "surrogateescape").split("\0") == [*words, ""]


def test_many_long_words(banger: Installation, system: str) -> None:
    """H7: more than one protocol frame and more than one socket buffer of arguments."""
    words = [f"{number}{'x' * 1000}" for number in range(600)]
    ended = banger.exec(system, "printf", "%s\\n", *words, status=0)
    assert ended.text.split("\n") == words


def test_environment_directory_and_user(banger: Installation, system: str) -> None:
    """What is asked for arrives, and the rest is what the user has in the guest."""
    script = 'printf "%s|" "$A" "$B" "$HOME" "$USER" "$PWD"; id -un'
    options = ["-e", "A=x y='z'", "-e", "B", "-w", "/usr/lib", "-u", "nobody"]
    ended = banger.do(
        "vm", "exec", *options, system, "--", "sh", "-c", script, env={"B": "from here"}
    )
    assert ended.text == "x y='z'|from here|/nonexistent|nobody|/usr/lib|nobody"


SILENT_NSCD = """
mkdir "/run/nscd";
$server = IO::Socket::UNIX->new(Listen => 9, Local => "/run/nscd/socket") or die $!;
$| = 1; print "listens\\n"; sleep 600;
"""


def test_the_groups_of_a_user(banger: Installation, system: str) -> None:
    """Those of the guest's /etc/group; nobody is asked who listens where nscd does (E2)."""
    banger.exec(system, "usermod", "-aG", "audio,video", "games", status=0)
    command = ("perl", "-MIO::Socket::UNIX", "-e", SILENT_NSCD)
    server = banger.start("vm", "exec", system, "--", *command)
    try:
        assert read_line(server) == b"listens\n"
        ended = banger.do(
            "vm", "exec", "-u", "games", "--timeout", "60s", system, "--", "id", "-Gn"
        )
        assert sorted(ended.text.split()) == ["audio", "games", "video"]
    finally:
        server.terminate()
        finish(server)
        banger.exec(system, "rm", "-rf", "/run/nscd", status=0)
        banger.exec(system, "usermod", "-G", "", "games", status=0)


def test_the_hosts_environment_stays_on_the_host(banger: Installation, system: str) -> None:
    """G6: only what is asked for with -e reaches the guest."""
    ended = banger.exec(system, "env", env={"SECRET_TOKEN": "hidden"}, status=0)
    assert "hidden" not in ended.text and "XDG_" not in ended.text
    assert "HOME=/root" in ended.text.split("\n")


def test_a_hundred_in_a_row(banger: Installation, system: str) -> None:
    """H7: nothing is used up: descriptors, streams, credit."""
    with Client(banger.layout) as client:
        for number in range(100):
            words = {"ref": system, "argv": ["echo", str(number)]}
            with closing(client.stream("vm.exec", words)) as said:
                assert b"".join(data for _, data in said) == b"%d\n" % number


def test_twenty_at_once(banger: Installation, system: str) -> None:
    """H7: streams do not mix, whatever their size."""

    def one(number: int) -> bool:
        data = bytes([number]) * (number * 50_000)
        ended = banger.exec(system, "sh", "-c", f"cat; exit {number}", stdin=data)
        return (ended.status, ended.out) == (number, data)

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(one, range(20)))


def test_a_timeout_kills_the_whole_group(banger: Installation, system: str) -> None:
    """H3: the command, its children and those that ignore signals are gone; status 124."""
    script = "trap '' TERM INT HUP; (sleep 7777 & sleep 7777) & sleep 7777 | sleep 7777"
    ended = banger.run("vm", "exec", "--timeout", "2s", system, "--", "sh", "-c", script)
    assert ended.status == 124
    assert "2 s" in ended.err
    assert find_in_guest(banger, system, "sleep 7777") == ""


def test_a_timeout_kills_what_has_left_the_group(banger: Installation, system: str) -> None:
    """H3: a child with a session and an ended parent of its own does not outlive the timeout."""
    script = "setsid sh -c 'sleep 7773 & sleep 7773' & echo started; sleep 7773"
    ended = banger.run("vm", "exec", "--timeout", "5s", system, "--", "sh", "-c", script)
    assert (ended.status, ended.text) == (124, "started")
    wait_for(lambda: not find_in_guest(banger, system, "sleep 7773"), "the processes to end")


def test_what_a_command_leaves_in_the_background_lives_on(
    banger: Installation, system: str
) -> None:
    """As with docker exec and ssh: a command that ended by itself has its children spared."""
    script = "setsid sleep 7771 >/dev/null 2>&1 & echo $!"
    pid = banger.exec(system, "sh", "-c", script, status=0).text
    ended = banger.run("vm", "exec", "--timeout", "1s", system, "--", "sleep", "60")
    assert ended.status == 124
    banger.exec(system, "kill", pid, status=0)


def test_a_client_that_is_killed_takes_its_command_along(banger: Installation, system: str) -> None:
    """C5, H2: nothing runs on for nobody."""
    process = banger.start("vm", "exec", system, "--", "sh", "-c", "echo started; sleep 7776")
    assert read_line(process) == b"started\n"
    process.kill()
    finish(process)
    wait_for(lambda: not find_in_guest(banger, system, "sleep 7776"), "the guest's process to go")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on(banger: Installation, system: str, number: signal.Signals) -> None:
    """H7: without a TTY the guest's command gets the signal, and its status is the result."""
    script = f"trap 'echo caught; exit 33' {number.value}; echo ready; while :; do sleep 0.1; done"
    process = banger.start("vm", "exec", system, "--", "sh", "-c", script)
    assert read_line(process) == b"ready\n"
    process.send_signal(number)
    ended = finish(process, status=33)
    assert ended.out == b"caught\n"


def test_a_second_signal_gives_up(banger: Installation, system: str) -> None:
    """H3: a command that ignores the signal cannot hold the user; it is killed."""
    script = "trap 'echo caught' INT; echo ready; while :; do sleep 0.1; : 7775; done"
    process = banger.start("vm", "exec", system, "--", "sh", "-c", script)
    assert read_line(process) == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert read_line(process) == b"caught\n"
    process.send_signal(signal.SIGINT)
    finish(process, status=128 + signal.SIGINT)
    wait_for(lambda: not find_in_guest(banger, system, ": 7775"), "the guest's process to go")


def test_a_detached_command_runs_on(banger: Installation, system: str) -> None:
    """-d prints the session's name and leaves the command running."""
    session = banger.do("vm", "exec", "-d", system, "--", "sleep", "7774").text
    try:
        assert find_in_guest(banger, system, "sleep 7774").isdecimal()
    finally:
        banger.do("vm", "session", "delete", "--force", system, session)
    wait_for(lambda: not find_in_guest(banger, system, "sleep 7774"), "the command to end")


def find_in_guest(banger: Installation, vm: str, pattern: str) -> str:
    """Return the pids of the guest's processes whose command line has the pattern."""
    # The brackets keep pgrep's own command line, and ours, from matching.
    hidden = f"[{pattern[0]}]{pattern[1:]}"
    return banger.exec(vm, "pgrep", "-f", hidden).text.replace("\n", " ")
