"""EXEC: status, output, input, signals, terminals, what is left behind (H1, H2, H3, H7)."""

from __future__ import annotations

import os
import pwd
import random
import signal
import struct
import time
from pathlib import Path

import pytest

from tests.unit.agent.conftest import Agent, wait_gone
from tests.unit.agent.wire import (
    CREDIT,
    DETACH,
    FIRST_WINDOW,
    PING,
    STDIN,
    SUPERVISE,
    TTY,
    Host,
    frame,
    number,
)

FOREVER = "while :; do sleep 0.05; done"
BIG = random.Random(7).randbytes(3_000_000)


def pid_of(host: Host, stream: int) -> int:
    return number(host.wait_event(stream).fields["PID"])


# --- status --------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 42, 125, 126, 127, 128, 255])
def test_exit_status_is_exact(host: Host, status: int) -> None:
    """H1: also the numbers that our own errors use on the command line."""
    outcome = host.exec("sh", "-c", f"exit {status}")
    assert outcome.status == status
    assert "SIGNAL" not in outcome.result


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGSEGV", "SIGHUP"])
def test_death_by_signal_is_not_a_status(host: Host, name: str) -> None:
    """H1"""
    value = getattr(signal, name)
    outcome = host.exec("sh", "-c", f"kill -{value} $$")
    assert number(outcome.result["SIGNAL"]) == value
    assert "STATUS" not in outcome.result


def test_words_are_not_split_again(host: Host) -> None:
    """H1, G2: no shell in between; bytes that are no UTF-8 pass."""
    words = [b"a b", b"", b"$HOME", b"'\"", b"\xff\xfe", b"*"]
    outcome = host.exec("printf", "%s\\n", *words)
    assert outcome.stdout == b"".join(word + b"\n" for word in words)


@pytest.mark.parametrize(
    "name", ["no-such-program", "/no/such/program", "/etc/passwd/x", "", "./x"]
)
def test_not_found(host: Host, name: str) -> None:
    """H1: 127 is told apart from a program that says 127."""
    outcome = host.exec(name)
    assert outcome.code == "not-found"
    assert outcome.events == []


def test_not_executable(host: Host, tmp_path: Path) -> None:
    """H1: no permission, a directory, neither program nor script."""
    plain = tmp_path / "plain"
    plain.write_bytes(b"\x00\x01 no program")
    assert host.exec(str(plain)).code == "not-executable"
    assert host.exec(str(tmp_path)).code == "not-executable"
    plain.chmod(0o755)
    assert host.exec(str(plain)).code == "not-executable"


def test_not_executable_in_path_counts_more_than_not_found(host: Host, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("")
    more = [("ENV", f"PATH={tmp_path}:/nowhere")]
    assert host.exec("tool", more=more).code == "not-executable"


def test_lookup_goes_on_behind_what_cannot_be_executed(host: Host, tmp_path: Path) -> None:
    for name, mode in (("first", 0o644), ("second", 0o755)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text(f"#!/bin/sh\necho {name}\n")
        (tmp_path / name / "tool").chmod(mode)
    more = [("ENV", f"PATH=/nowhere:{tmp_path}/first:{tmp_path}/second")]
    assert host.exec("tool", more=more).stdout == b"second\n"


@pytest.mark.parametrize("directory", ["/no/such/directory", "/etc/passwd"])
def test_bad_directory(host: Host, directory: str) -> None:
    assert host.exec("true", more=[("CWD", directory)]).code == "bad-directory"


@pytest.mark.parametrize("user", ["no-such-user", "no-such-user:0", "0:no-such-group", ":", "-1"])
def test_no_such_user(host: Host, user: str) -> None:
    assert host.exec("true", more=[("USER", user)]).code == "no-such-user"


def test_another_user_needs_privilege(host: Host) -> None:
    """The agent of a test is no root: becoming one fails, and does not run the program."""
    outcome = host.exec("true", more=[("USER", "root")])
    assert outcome.code == "io"
    assert b"become user root" in outcome.last.fields["MESSAGE"]  # type: ignore[union-attr]


def test_own_user_by_number_and_name(host: Host) -> None:
    me = pwd.getpwuid(os.getuid())
    for user in (str(me.pw_uid), me.pw_name, f"{me.pw_uid}:{me.pw_gid}"):
        outcome = host.exec("id", "-u", more=[("USER", user)])
        assert outcome.stdout == f"{me.pw_uid}\n".encode()


# --- surroundings ----------------------------------------------------------------


def test_default_environment(host: Host) -> None:
    me = pwd.getpwuid(os.getuid())
    outcome = host.exec("env", "-0")
    assert sorted(outcome.stdout.decode().split("\0")[:-1]) == sorted(
        [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            f"HOME={me.pw_dir}",
            f"USER={me.pw_name}",
            f"LOGNAME={me.pw_name}",
            f"SHELL={me.pw_shell}",
            "LANG=C.UTF-8",
        ]
    )


def test_given_environment_wins(host: Host) -> None:
    more = [("ENV", "HOME=/first"), ("ENV", "HOME=/x"), ("ENV", b"RAW=\xff"), ("ENV", "EMPTY=")]
    outcome = host.exec("env", "-0", more=more)  # type: ignore[arg-type]
    lines = outcome.stdout.split(b"\0")
    assert [line for line in lines if line.startswith(b"HOME=")] == [b"HOME=/x"]
    assert b"RAW=\xff" in lines
    assert b"EMPTY=" in lines


def test_directory_is_home_or_as_given(host: Host, tmp_path: Path) -> None:
    assert host.exec("pwd").stdout.decode().strip() == pwd.getpwuid(os.getuid()).pw_dir
    assert host.exec("pwd", more=[("CWD", str(tmp_path))]).stdout.decode().strip() == str(tmp_path)


def test_signals_are_as_after_boot(host: Host) -> None:
    """SIGPIPE ends a program (H7); nothing is blocked or ignored because of the agent."""
    lines = host.exec("cat", "/proc/self/status").stdout.decode().splitlines()
    masks = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Sig")}
    # 32 and 33 are the C library's own: no program can set them, and glibc's posix_spawn (so
    # make) leaves them ignored in what it starts.
    assert int(masks["SigIgn"], 16) & ~(0b11 << 31) == 0
    assert int(masks["SigBlk"], 16) == 0


def test_descriptors_do_not_leak(host: Host) -> None:
    """A program has 0, 1, 2 and what it opens: no pipe of another stream, no connection."""
    streams = [host.start("cat", flags=STDIN) for _ in range(5)]
    for stream in streams:
        host.wait_event(stream)
    assert host.exec("ls", "/proc/self/fd").stdout.split() == [b"0", b"1", b"2", b"3"]


def test_session_of_its_own(host: Host) -> None:
    stream = host.start("sh", "-c", "ps -o pid=,pgid=,sid= -p $$")
    pid = pid_of(host, stream)
    assert host.wait(stream).stdout.split() == [str(pid).encode()] * 3


# --- output ------------------------------------------------------------------------


def test_streams_are_kept_apart_and_end(host: Host) -> None:
    outcome = host.exec("sh", "-c", "printf out; printf err >&2")
    assert (outcome.stdout, outcome.stderr) == (b"out", b"err")
    assert outcome.ended == {1, 2}


def test_no_output(host: Host) -> None:
    outcome = host.exec("true")
    assert (outcome.stdout, outcome.stderr, outcome.status) == (b"", b"", 0)


def test_big_binary_output_is_exact(host: Host, tmp_path: Path) -> None:
    """H7: larger than every buffer and window on the way, on both channels at once."""
    (tmp_path / "big").write_bytes(BIG)
    outcome = host.exec("sh", "-c", f"cat {tmp_path}/big & cat {tmp_path}/big >&2; wait")
    assert outcome.stdout == BIG
    assert outcome.stderr == BIG


def test_output_stops_at_the_window(host: Host) -> None:
    """E2, H7: endless output of which nobody reads costs the window and no more."""
    host.grants = False
    stream = host.start("yes")
    while len(host.outcomes[stream].output[1]) < FIRST_WINDOW:
        host.step()
    other = host.exec("echo", "not held up")
    assert other.stdout == b"not held up\n"
    assert len(host.outcomes[stream].output[1]) == FIRST_WINDOW
    host.send(frame(CREDIT, stream, struct.pack("<I", 5), channel=1))
    while len(host.outcomes[stream].output[1]) < FIRST_WINDOW + 5:
        host.step()
    assert host.call(PING).result
    assert len(host.outcomes[stream].output[1]) == FIRST_WINDOW + 5
    host.close_stream(stream)
    assert number(host.wait(stream).result["SIGNAL"]) == signal.SIGKILL


def test_nothing_in_the_pipe_is_lost_to_a_slow_reader(host: Host) -> None:
    """H7: the program has ended long before the host grants credit for what it wrote."""
    host.grants = False
    size = FIRST_WINDOW + 6_000  # the pipe of a user with many pipes holds two pages
    stream = host.start("sh", "-c", f"head -c {size} /dev/zero; exit 7")
    pid = pid_of(host, stream)
    while len(host.outcomes[stream].output[1]) < FIRST_WINDOW:
        host.step()
    wait_gone(pid)
    assert host.call(PING).result
    assert host.outcomes[stream].last is None
    host.send(frame(CREDIT, stream, struct.pack("<I", 100_000), channel=1))
    outcome = host.wait(stream)
    assert len(outcome.stdout) == size
    assert outcome.status == 7


def test_a_process_left_behind_does_not_delay_the_result(host: Host) -> None:
    """H2: it holds the pipes open; RESULT comes when the program has ended."""
    stream = host.start("sh", "-c", "sleep 1000 & echo $!; echo late >&2; exit 3")
    outcome = host.wait(stream)
    try:
        assert outcome.status == 3
        assert outcome.stderr == b"late\n"
        assert outcome.ended == set()
        os.kill(int(outcome.stdout), 0)
    finally:
        os.kill(int(outcome.stdout), signal.SIGKILL)


def test_a_process_left_behind_that_never_stops_writing(host: Host) -> None:
    """H2: what was in the pipe when the program ended is sent, the rest is not waited for."""
    outcome = host.exec("sh", "-c", "echo $$; yes & exit 4")
    assert outcome.status == 4
    assert outcome.stdout.split(b"\n")[0].isdigit()


def test_closed_outputs_while_the_program_goes_on(host: Host) -> None:
    stream = host.start("sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 9")
    outcome = host.wait(stream)
    assert outcome.status == 9
    assert outcome.ended == {1, 2}


# --- input -------------------------------------------------------------------------


def test_without_stdin_it_is_dev_null(host: Host) -> None:
    assert host.exec("readlink", "/proc/self/fd/0").stdout == b"/dev/null\n"
    assert host.exec("cat").status == 0


def test_big_binary_input_comes_back(host: Host) -> None:
    """H7: both directions at once under flow control."""
    outcome = host.exec("cat", stdin=BIG)
    assert outcome.stdout == BIG
    assert outcome.status == 0


def test_empty_input(host: Host) -> None:
    assert host.exec("wc", "-c", stdin=b"").stdout == b"0\n"


def test_input_that_nobody_reads_does_not_hold_the_host_up(host: Host) -> None:
    """H7: the program closes its stdin; what still comes is dropped and credited."""
    stream = host.start("sh", "-c", "exec <&-; echo closed; sleep 0.5; exit 5", flags=STDIN)
    host.wait_output(stream, b"closed")
    host.write(stream, BIG)
    assert host.wait(stream).status == 5


def test_a_program_that_ends_without_reading(host: Host) -> None:
    outcome = host.exec("sh", "-c", "exit 6", stdin=BIG)
    assert outcome.status == 6


def test_a_slow_reader_stops_only_its_own_stream(host: Host) -> None:
    stream = host.start("sleep", "1000", flags=STDIN)
    host.wait_event(stream)
    while host.credit[stream] >= 32768:
        host.write(stream, bytes(32768), eof=False)
    assert host.exec("cat", stdin=b"others go on").stdout == b"others go on"
    host.close_stream(stream)
    assert number(host.wait(stream).result["SIGNAL"]) == signal.SIGKILL


# --- many ---------------------------------------------------------------------------


def test_a_hundred_in_a_row_leave_nothing(agent: Agent) -> None:
    """No zombie, no descriptor, no slot is lost on the way."""
    descriptors = Path(f"/proc/{agent.process.pid}/fd")
    assert agent.host.exec("true").status == 0
    before = len(list(descriptors.iterdir()))
    for i in range(100):
        assert agent.host.exec("sh", "-c", f"exit {i}").status == i
        assert agent.host.exec("no-such-program").code == "not-found"
    assert agent.host.call(PING).result
    assert len(list(descriptors.iterdir())) == before
    children = Path(f"/proc/{agent.process.pid}/task/{agent.process.pid}/children")
    deadline = time.monotonic() + 20
    while children.read_text():
        assert time.monotonic() < deadline
        agent.host.call(PING)


def test_twenty_at_once(host: Host) -> None:
    streams = [host.start("sh", "-c", f"cat; exit {i}", flags=STDIN) for i in range(20)]
    for i, stream in enumerate(streams):
        host.write(stream, b"%d" % i * 1000)
    for i, stream in enumerate(streams):
        outcome = host.wait(stream)
        assert (outcome.stdout, outcome.status) == (b"%d" % i * 1000, i)


# --- signals and ends -----------------------------------------------------------------


def test_signal_reaches_the_whole_group(host: Host) -> None:
    """H3, H7: the leader waits for its child, which says so before it ends."""
    child = f"trap 'echo child; exit 0' USR1; echo up; {FOREVER}"
    # The signal breaks the first wait; the second one is for the child's end.
    script = 'trap : USR1; bash -c "$CHILD" & wait $!; wait $!; exit 12'
    stream = host.start("bash", "-c", script, more=[("ENV", f"CHILD={child}")])
    host.wait_output(stream, b"up\n")
    host.control(stream, ("SIGNAL", signal.SIGUSR1))
    outcome = host.wait(stream)
    assert outcome.status == 12
    assert outcome.stdout == b"up\nchild\n"


@pytest.mark.parametrize("value", [0, 65, 1 << 40])
def test_signals_out_of_range_are_ignored(host: Host, value: int) -> None:
    stream = host.start("cat", flags=STDIN)
    host.wait_event(stream)
    host.control(stream, ("SIGNAL", value))
    host.write(stream, b"alive")
    assert host.wait(stream).stdout == b"alive"


def test_realtime_signal(host: Host) -> None:
    stream = host.start("sleep", "1000")
    host.wait_event(stream)
    host.control(stream, ("SIGNAL", 64))
    assert number(host.wait(stream).result["SIGNAL"]) == 64


def test_close_kills_the_group(host: Host) -> None:
    """H3: a deadline on the host ends the command and what it started."""
    stream = host.start("sh", "-c", "trap '' TERM INT; sleep 1000 & echo $!; wait; wait")
    child = int(host.wait_output(stream, b"\n"))
    host.close_stream(stream)
    assert number(host.wait(stream).result["SIGNAL"]) == signal.SIGKILL
    wait_gone(child)


def test_close_after_the_end_still_kills_the_group(host: Host) -> None:
    """H3: the leader has ended, its output waits for credit, its children live."""
    host.grants = False
    stream = host.start("sh", "-c", f"sleep 1000 & echo $!; head -c {FIRST_WINDOW + 100} /dev/zero")
    child = int(host.wait_output(stream, b"\n").split()[0])
    pid = pid_of(host, stream)
    while len(host.outcomes[stream].output[1]) < FIRST_WINDOW:
        host.step()
    wait_gone(pid)
    assert host.call(PING).result
    host.close_stream(stream)
    assert host.wait(stream).status == 0
    wait_gone(child)


def test_detached_outlives_the_connection(host: Host, tmp_path: Path) -> None:
    """Sessions stand on it: HELLO kills what is attached, not what was detached."""
    mark = tmp_path / "mark"
    script = f"readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 > {mark}; exec sleep 1000"
    outcome = host.exec("sh", "-c", script, flags=DETACH)
    assert outcome.status == 0
    pid = number(outcome.events[0].fields["PID"])
    try:
        host.connect()
        deadline = time.monotonic() + 20
        while not mark.exists() or mark.read_text().count("\n") < 3:
            assert time.monotonic() < deadline
        assert mark.read_text().split()[0] == "/dev/null"
        os.kill(pid, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_detached_not_found_is_an_error(host: Host) -> None:
    assert host.exec("no-such-program", flags=DETACH).code == "not-found"


def test_supervised_is_started_again_until_it_ends_well(host: Host, tmp_path: Path) -> None:
    """Also while nobody is connected; what it writes does not come to the host."""
    runs = tmp_path / "runs"
    script = f"echo said; echo $$ >> {runs}; test $(wc -l < {runs}) = 3 || kill -9 $$"
    outcome = host.exec("sh", "-c", script, flags=DETACH | SUPERVISE)
    assert (outcome.status, outcome.stdout) == (0, b"")
    host.connect()
    wait_gone(number(outcome.events[0].fields["PID"]))
    first, second, third = runs.read_text().split()
    assert len({first, second, third}) == 3


def test_what_is_supervised_may_end_with_its_supervisor(host: Host, tmp_path: Path) -> None:
    """A shutdown ends everything, and nothing comes back after it."""
    pid = tmp_path / "pid"
    script = f"echo $$ > {pid}.new && mv {pid}.new {pid}; exec sleep 1000"
    outcome = host.exec("sh", "-c", script, flags=DETACH | SUPERVISE)
    deadline = time.monotonic() + 20
    while not pid.exists():
        assert time.monotonic() < deadline
    supervisor, program = number(outcome.events[0].fields["PID"]), int(pid.read_text())
    os.kill(supervisor, signal.SIGTERM)
    os.kill(program, signal.SIGTERM)
    wait_gone(supervisor)
    wait_gone(program)


def test_supervised_not_found_is_an_error(host: Host) -> None:
    outcome = host.exec("no-such-program", flags=DETACH | SUPERVISE)
    assert outcome.code == "not-found"
    assert host.exec("sh", "-c", "exit 3").status == 3


# --- terminals -------------------------------------------------------------------------


def start_terminal(host: Host, script: str, *, rows: int = 33, columns: int = 99) -> int:
    more = [("ROWS", rows), ("COLUMNS", columns), ("ENV", "TERM=xterm-256color")]
    return host.start("sh", "-c", script, flags=TTY, more=more)  # type: ignore[arg-type]


def test_terminal_is_one(host: Host) -> None:
    """H7: all three descriptors, TERM, size; it controls the session."""
    script = "test -t 0 && test -t 1 && test -t 2 && echo $TERM && stty size && ps -o tty= -p $$"
    outcome = host.wait(start_terminal(host, script))
    assert outcome.status == 0
    lines = outcome.stdout.split()
    assert lines[:3] == [b"xterm-256color", b"33", b"99"]
    assert lines[3].startswith(b"pts/")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (("TERM=xterm-new",), "xterm-256color"),
        (("TERM=../x/xterm",), "xterm-256color"),
        (("TERM=xterm",), "xterm"),
        (("TERM=xterm-new", "TERMINFO=/mine"), "xterm-new"),
    ],
)
def test_terminal_kind_is_one_that_programs_know(
    host: Host, variables: tuple[str, ...], expected: str
) -> None:
    """H7: a kind without a description would keep full-screen programs from running."""
    more = [("ENV", variable) for variable in variables]
    stream = host.start("sh", "-c", "echo $TERM", flags=TTY, more=more)
    assert host.wait(stream).stdout.split() == [expected.encode()]


def test_term_is_left_alone_without_a_terminal(host: Host) -> None:
    outcome = host.wait(host.start("sh", "-c", "echo $TERM", more=[("ENV", "TERM=xterm-new")]))
    assert outcome.stdout == b"xterm-new\n"


def modes(*items: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<BI", *item) for item in items)


def test_terminal_modes_are_those_that_were_asked_for(host: Host) -> None:
    """H7: characters, flags, speeds before the program starts; what is unknown is passed over."""
    asked = modes((1, 24), (3, 255), (38, 0), (53, 0), (54, 1), (72, 0), (128, 9600), (129, 9600))
    asked += modes((11, 7), (16, 7), (90, 1), (92, 1), (159, 5), (0, 1))
    plain = host.wait(start_terminal(host, "stty -a")).stdout.decode()
    stream = host.start("stty", "-a", flags=TTY, more=[("MODES", asked)])
    said = host.wait(stream).stdout.decode()
    for word in ("intr = ^X;", "erase = <undef>;", "speed 9600 baud"):
        assert word in said and word not in plain
    for word in ("-ixon", "-echo", "-onlcr"):
        assert word in said.split() and word not in plain.split()
    for word in ("echoe", "icanon", "isig", "opost", "cs8", "-parenb"):
        assert word in said.split() and word in plain.split()


@pytest.mark.parametrize("size", [1, 4, 6])
def test_terminal_modes_that_are_cut_short_are_refused(host: Host, size: int) -> None:
    """E2."""
    stream = host.start("true", flags=TTY, more=[("MODES", b"\x35" * size)])
    assert host.wait(stream).code == "bad-request"


def test_terminal_resize(host: Host) -> None:
    """H7: the program is told by SIGWINCH."""
    stream = start_terminal(host, f"trap 'stty size; exit' WINCH; echo ready; {FOREVER}")
    host.wait_output(stream, b"ready")
    host.control(stream, ("ROWS", 50), ("COLUMNS", 120))
    assert b"50 120" in host.wait(stream).stdout


def test_terminal_interrupt_character(host: Host) -> None:
    stream = start_terminal(host, f"trap 'echo caught; exit 7' INT; echo ready; {FOREVER}")
    host.wait_output(stream, b"ready")
    host.write(stream, b"\x03", eof=False)
    outcome = host.wait(stream)
    assert outcome.status == 7
    assert b"caught" in outcome.stdout


def test_terminal_end_of_file(host: Host) -> None:
    stream = start_terminal(host, "cat; echo over")
    host.wait_event(stream)
    host.write(stream, b"line\n")
    outcome = host.wait(stream)
    assert outcome.stdout.replace(b"\r", b"") == b"line\nline\nover\n"


def test_terminal_is_not_hung_up_under_a_program_that_ends(host: Host) -> None:
    """H1: cat closes its outputs before it ends; a hang-up in between would be its status."""
    outcome = host.wait(start_terminal(host, "exec 0<&- 1>&- 2>&-; sleep 0.2; exit 7"))
    assert outcome.status == 7


def test_terminal_output_is_whole(host: Host) -> None:
    """H7: everything that was written before the end, then RESULT."""
    outcome = host.wait(start_terminal(host, "seq 1 40000; exit 5"))
    expected = b"".join(b"%d\r\n" % i for i in range(1, 40001))
    assert outcome.stdout == expected
    assert outcome.status == 5


def test_terminal_left_behind_does_not_delay(host: Host) -> None:
    """H2"""
    outcome = host.wait(start_terminal(host, "trap '' HUP; sleep 1000 & echo $!; exit 8"))
    assert outcome.status == 8
    os.kill(int(outcome.stdout), signal.SIGKILL)


def test_terminal_close_kills(host: Host) -> None:
    stream = start_terminal(host, f"trap '' HUP; echo $$; {FOREVER}")
    pid = int(host.wait_output(stream, b"\n"))
    host.close_stream(stream)
    assert number(host.wait(stream).result["SIGNAL"]) == signal.SIGKILL
    wait_gone(pid)
