"""Sessions through the command line, a real daemon and the real agent (B11, H1, H2, H7)."""

from __future__ import annotations

import array
import fcntl
import hashlib
import os
import signal
import subprocess
import termios
import time
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import IO

import pytest

from tests.component.cli.terminal import Terminal
from tests.component.daemon.running import read_events, wait_until
from tests.component.sessions.conftest import Box
from tests.support.forked import Forked

FOREVER = "while :; do sleep 1000; done"


def test_start_to_delete(served: Box) -> None:
    served.start("one", f"echo out; echo err >&2; read a; echo got $a; exit 3 #{'long' * 50}")
    (view,) = served.json("session", "list", "box")
    assert (view["name"], view["state"], view["vm"]) == ("one", "running", "box")
    assert served.json("session", "show", "box", "one")["argv"][:2] == ["sh", "-c"]
    served.do("session", "send", "box", "one", "a word")
    assert served.run("wait", "box", "one").returncode == 3
    done = served.run("session", "logs", "box", "one")
    assert (done.stdout, done.stderr) == (b"out\ngot a word\n", b"err\n")
    assert served.run("logs", "box", "one").stdout == done.stdout
    assert served.do("session", "logs", "-n", "1", "box", "one") == "got a word\n"
    listed, shown = served.do("session", "list", "box"), served.do("session", "show", "box", "one")
    assert "exited (3)" in listed and "exited (3)" in shown
    assert f"#{'long' * 50}" in shown and "#long" in listed and "long" * 50 not in listed
    served.do("session", "delete", "box", "one")
    assert served.do("session", "list", "-q", "box") == ""
    assert served.run("session", "logs", "box", "one").returncode == 4


def test_names_are_made_up_or_given_and_are_one_sessions(served: Box) -> None:
    """C6"""
    made = served.do("session", "start", "box", "--", "true").strip()
    assert made.count("-") == 1
    assert served.do("exec", "-d", "box", "true").strip() != made
    done = served.run("session", "start", "--name", made, "box", "--", "true")
    assert done.returncode == 5 and f"session show box {made}".encode() in done.stderr
    for name in ("", "Upper", "-x", "a" * 64, "a b"):
        done = served.run("session", "start", f"--name={name}", "box", "--", "true")
        assert done.returncode == 2, name
    assert len(served.json("session", "list", "box")) == 2


def test_a_command_line_of_any_bytes_is_shown(served: Box) -> None:
    """H7, E3: as JSON it comes back as it was; a table has no steering characters."""
    word = os.fsdecode(b"caf\xe9\x1b[2J\n")
    served.do("session", "start", "--name", "one", "box", "--", "echo", word, "ü")
    assert served.json("session", "show", "box", "one")["argv"] == ["echo", word, "ü"]
    for command in ("list", "show"):
        shown = served.do("session", command, "box", *(["one"] if command == "show" else []))
        assert "\\xe9" in shown and "\x1b" not in shown


def test_what_cannot_be_started_leaves_no_session(served: Box) -> None:
    """C7, H1"""
    for words, fact in (
        (("box", "--", "no-such-program"), b"command not found"),
        (("-w", "/no/such", "box", "--", "true"), b"/no/such"),
        (("-u", "no-such-user", "box", "--", "true"), b"no-such-user"),
        (("nowhere", "--", "true"), b"no VM"),
        (("box", "--"), b"no command"),
    ):
        done = served.run("session", "start", *words)
        assert done.returncode != 0 and fact in done.stderr, (words, done.stderr)
    assert served.json("session", "list", "box") == []


def test_the_output_of_a_detached_command_is_kept(served: Box) -> None:
    """The result of `exec -d` was lost before there were sessions."""
    name = served.do("exec", "-d", "-e", "A=b", "box", "--", "sh", "-c", "echo $A; cat; echo end")
    assert served.run("wait", "box", name.strip()).returncode == 0  # its input is /dev/null
    assert served.do("logs", "box", name.strip()) == "b\nend\n"


def test_stop_kill_and_signals(served: Box) -> None:
    """H3: SIGTERM first; what ignores it is killed at the deadline."""
    served.start("meek", FOREVER)
    served.start("stubborn", f"trap '' TERM; echo up; {FOREVER}")
    wait_until(lambda: served.do("logs", "box", "stubborn"), "the trap is set")
    served.do("session", "stop", "--timeout", "10m", "box", "meek")
    done = served.run("session", "stop", "--timeout", "0.2s", "box", "nobody", "stubborn")
    assert done.returncode == 4 and b"stopped stubborn\n" in done.stderr
    states = {each["name"]: each["signal"] for each in served.json("session", "list", "box")}
    assert states == {"meek": signal.SIGTERM, "stubborn": signal.SIGKILL}
    served.start("other", "trap 'exit 9' USR1; echo up; while :; do sleep 0.1; done")
    wait_until(lambda: served.do("logs", "box", "other"), "the trap is set")
    served.do("session", "kill", "-s", "usr1", "box", "other")
    assert served.run("wait", "box", "other").returncode == 9
    assert served.run("session", "kill", "box", "other").returncode == 5
    served.start("last", FOREVER)
    done = served.run("session", "delete", "box", "last")
    assert done.returncode == 5 and b"banger vm session stop box last" in done.stderr
    served.do("session", "delete", "--force", "box", "last")


def test_a_hundred_mebibytes_are_sent(served: Box) -> None:
    """H7: through the daemon, whole, as fast as the session reads."""
    content = os.urandom(1024 * 1024) * 100
    served.start("one", "sha256sum; echo done")
    served.do("session", "send", "--eof", "box", "one", stdin=content)
    assert served.run("wait", "box", "one").returncode == 0
    told = served.do("logs", "box", "one")
    assert told == f"{hashlib.sha256(content).hexdigest()}  -\ndone\n"


def test_input_that_is_not_taken_is_told(served: Box, tmp_path: Path) -> None:
    """H1, H2: a sender never waits for a session that has ended."""
    served.start("one", "exec sleep 1000")
    (tmp_path / "file").write_bytes(bytes(3_000_000))  # more than a pipe and the windows hold
    with open(tmp_path / "file", "rb") as file:
        sender = served.popen("session", "send", "box", "one", stdin=file)
        # Before it sends, ours would be the one that the session takes.
        wait_until(file.tell, "the sender reads")

    def is_busy() -> bool:
        return served.run("session", "send", "box", "one", "x").returncode == 5

    wait_until(is_busy, "the sender writes")
    served.do("session", "kill", "box", "one")
    _, said = sender.communicate(timeout=30)
    assert sender.returncode == 5 and b"no more input" in said
    served.start("two", "true", "--no-stdin")
    done = served.run("session", "send", "box", "two", "x")
    assert done.returncode == 5


def test_attach_with_pipes(served: Box) -> None:
    """The end of our input is not that of the session's; its exit is ours."""
    served.start("one", "while read a; do [ $a = end ] && exit 6; echo got $a; done")
    first = served.popen("session", "attach", "box", "one")
    assert first.stdin is not None and first.stdout is not None
    first.stdin.write(b"a\n")
    first.stdin.close()
    first.stdin = None
    assert first.stdout.readline() == b"got a\n"
    wait_until(lambda: served.run("session", "send", "box", "one", "b").returncode == 0, "b")
    assert first.stdout.readline() == b"got b\n"
    reader = served.popen("session", "attach", "--no-stdin", "--tail", "1", "box", "one")
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"got b\n"
    served.do("session", "send", "box", "one", "end")
    for process in (first, reader):
        assert process.wait(30) == 6
        process.communicate()


def test_attach_on_a_terminal_and_detach(served: Box) -> None:
    """ctrl-p ctrl-q detaches; a ctrl-p before another key is the session's."""
    script = 'stty size; stty -echo; echo ready; while IFS= read -r a; do echo "[$a]"; done'
    served.start("one", script, "--tty")
    terminal = Terminal(served.environ, "vm", "session", "attach", "box", "one")
    try:
        terminal.expect(b"ready")
        terminal.send(b"\x10a\r")
        terminal.expect(b"[\x10a]")
        terminal.set_size(44, 111)
        terminal.send(b"half\x10")
        terminal.send(b"\x11")
        terminal.expect(b"Detached: banger vm session attach box one")
        assert terminal.process.wait(30) == 0
    finally:
        terminal.close()
    assert served.json("session", "show", "box", "one")["state"] == "running"
    served.do("session", "send", "box", "one", "whole")
    wait_until(lambda: b"whole]" in served.run("logs", "box", "one").stdout, "the line is taken")
    served.do("session", "send", "--eof", "box", "one", stdin=b"")
    assert served.run("wait", "box", "one").returncode == 0


def test_logs_follow_to_the_end_of_the_session(served: Box) -> None:
    """Its exit status is not that of `logs`."""
    served.start("one", "echo a; read x; echo b; exit 5")
    follower = served.popen("session", "logs", "-f", "box", "one")
    assert follower.stdout is not None and follower.stdout.readline() == b"a\n"
    served.do("session", "send", "box", "one", "go")
    out, _ = follower.communicate(timeout=30)
    assert (out, follower.returncode) == (b"b\n", 0)


def test_since(served: Box) -> None:
    served.start("one", "echo a")
    served.run("wait", "box", "one")
    assert served.do("logs", "--since", "1h", "box", "one") == "a\n"
    later = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 3600))
    assert served.do("logs", "--since", later, "box", "one") == ""
    for words in (("--since", "yesterday", "box", "one"), ("--since", "1h", "box")):
        assert served.run("logs", *words).returncode == 2
    assert served.run("logs", "--vmm", "box", "one").returncode == 2


def test_steering_characters_reach_no_terminal(served: Box) -> None:
    """E3: as with the console's log."""
    served.start("one", "printf 'a\\033[31mred\\033[0m\\007b'")
    served.run("wait", "box", "one")
    terminal = Terminal(served.environ, "vm", "logs", "box", "one")
    try:
        terminal.expect(b"aredb")
        assert terminal.process.wait(30) == 0
    finally:
        terminal.close()
    assert served.run("logs", "box", "one").stdout == b"a\x1b[31mred\x1b[0m\x07b"


NUMBERS = b"".join(b"%08d\n" % number for number in range(1, 300_001))


def replace_daemon(
    box: Box, daemon: Forked, client: subprocess.Popen[bytes]
) -> AbstractContextManager[Forked]:
    """Kill the daemon and start another; the client, which would start one, waits meanwhile."""
    os.kill(client.pid, signal.SIGSTOP)
    daemon.kill()
    daemon.wait()
    return box.daemon()


@pytest.mark.parametrize("command", ["logs", "attach"])
def test_no_byte_is_lost_over_killed_daemons(box: Box, command: str) -> None:
    """B11: whoever follows goes on with the next daemon where the last was cut off."""
    words = {"logs": ("logs", "-f"), "attach": ("attach", "-n", "0")}[command]
    with box.daemon() as first:
        script = "echo ready; read a; seq -w 99999999 | head -n 300000; read b; exit 7"
        box.start("one", script)
        wait_until(lambda: box.do("logs", "box", "one"), "it is ready")
        client = box.popen("session", *words, "box", "one")
        assert client.stdin is not None and client.stdout is not None
        if command == "logs":
            assert client.stdout.readline() == b"ready\n"
            box.do("session", "send", "box", "one", "go")
        else:
            wait_until(lambda: box.json("session", "show", "box", "one")["readers"], "attached")
            client.stdin.write(b"go\n")
            client.stdin.flush()
        # Only a part: the rest waits in the session's ring while nobody reads here.
        data = client.stdout.read(100_000)
        assert data == NUMBERS[:100_000]
        second = replace_daemon(box, first, client)
    with second:
        os.kill(client.pid, signal.SIGCONT)
        data += client.stdout.read(len(NUMBERS) - len(data))
        assert data == NUMBERS
        if command == "attach":
            client.stdin.write(b"end\n")
            client.stdin.flush()
        else:
            box.do("session", "send", "box", "one", "end")
        rest, said = client.communicate(timeout=30)
        assert (rest, said) == (b"", b"")
        assert client.returncode == (7 if command == "attach" else 0)


def test_input_that_may_be_lost_with_a_daemon_is_told(box: Box) -> None:
    """H2, H7: what a daemon takes no more is not sent again; what it took is no loss."""
    with box.daemon() as first:
        box.start("one", "read a; echo got $a; read b; echo got $b; exit 3")
        client = box.popen("session", "attach", "box", "one")
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write(b"first\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"got first\n"
        os.kill(first.pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(first.pid), "the daemon stands still")
        client.stdin.write(b"second\n")
        client.stdin.flush()
        wait_until(lambda: not unread_bytes(client.stdin), "the client has read its input")
        second = replace_daemon(box, first, client)
    with second:
        os.kill(client.pid, signal.SIGCONT)
        assert client.stderr is not None
        told = b"\rbanger: The daemon disconnected; some of the input may be lost.\r\n"
        assert client.stderr.readline() == told
        rest, said = client.communicate(b"third\n", timeout=30)
        assert (rest, said, client.returncode) == (b"got third\n", b"", 3)


def test_a_terminal_that_changes_while_there_is_no_daemon(box: Box) -> None:
    """H7: its new size is that of the session's."""
    with box.daemon() as first:
        box.start("one", "while sleep 0.1; do stty size; done", "-t")
        with closing(Terminal(box.environ, "vm", "session", "attach", "box", "one")) as terminal:
            terminal.expect(b"30 100")
            # Ended before its daemon, of which it would start another.
            with replace_daemon(box, first, terminal.process), closing(terminal):
                terminal.set_size(40, 99)
                os.kill(terminal.process.pid, signal.SIGCONT)
                terminal.expect(b"40 99")


def is_stopped(pid: int) -> bool:
    """Tell whether a process has been stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def unread_bytes(pipe: IO[bytes] | None) -> int:
    """Return how many bytes of a pipe its reader has not read."""
    assert pipe is not None
    found = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, found)
    return found[0]


def test_a_gap_is_told_where_the_ring_went_on(box: Box) -> None:
    """B11: what came while nobody followed and is kept no more is a number, not silence."""
    with box.daemon() as first:
        box.start("one", "echo ready; read a; head -c 9000000 /dev/zero; echo; echo last")
        client = box.popen("session", "logs", "-f", "box", "one")
        assert client.stdout is not None and client.stdout.readline() == b"ready\n"
        second = replace_daemon(box, first, client)
    with second:
        box.do("session", "send", "--eof", "box", "one", "go")
        box.run("wait", "box", "one")
        kept_from = box.json("session", "show", "box", "one")["kept_from"]
        os.kill(client.pid, signal.SIGCONT)
        out, said = client.communicate(timeout=30)
        assert len(out) == 9_000_000 + len("ready\n" + "\nlast\n") - kept_from
        assert out.endswith(b"\nlast\n")
        gap = kept_from - len("ready\n")
        assert f"{gap} bytes of output before this are no longer kept".encode() in said


def test_a_wait_goes_on_over_daemons(box: Box) -> None:
    """H2"""
    with box.daemon() as first:
        box.start("one", "read a; exit 4")
        waiter = box.popen("wait", "box", "one")
        wait_until(lambda: read_events(box.environ), "it waits")
        second = replace_daemon(box, first, waiter)
    with second:
        os.kill(waiter.pid, signal.SIGCONT)
        box.do("session", "send", "box", "one", "end")
        assert waiter.wait(30) == 4
        waiter.communicate()
