"""`vm exec` through the real command line and a real daemon; a host program is the guest's."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.component.cli.terminal import Terminal
from tests.component.daemon.running import (
    banger,
    is_alive,
    popen,
    read_events,
    scripted_daemon,
    wait_until,
    with_sources,
)

Environ = dict[str, str]


def run(vm: Environ, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return banger(vm, "vm", "exec", "box", "--", *words, stdin=stdin)


def test_words_arrive_as_they_were_given(vm: Environ) -> None:
    """H1, G2: nothing splits or expands words again; bytes that are no UTF-8 pass."""
    words = [b"a b", b"$HOME", b"*", b"", b"'\"", b"\xff\xfe", "ä".encode(), b"--"]
    argv = [os.fsencode(sys.executable), b"-m", b"banger", b"vm", b"exec", b"box", b"--"]
    done = subprocess.run(
        [*argv, b"printf", b"%s\\n", *words],
        check=False,
        env=with_sources(vm),
        capture_output=True,
        timeout=60,
    )
    assert done.stdout == b"".join(word + b"\n" for word in words)


@pytest.mark.parametrize("options", [(), ("-d",)])
def test_a_command_that_has_to_wait_says_so(vm: Environ, options: tuple[str, ...]) -> None:
    """H9: on stderr, as plain text, apart from what the command writes."""
    words = ("-e", "WAITS=Waiting for one of 720 commands.\x1b[2J", "box", "--", "echo", "done")
    done = banger(vm, "vm", "exec", *options, *words)
    assert done.returncode == 0
    assert done.stderr == b"Waiting for one of 720 commands.\\x1b[2J\n"
    assert done.stdout == (b"busy-bee\n" if options else b"done\n")


def test_our_own_failures_have_statuses_of_their_own(vm: Environ, short_dir: Path) -> None:
    """H1: 127 not found, 126 not executable, 125 everything else, each with a sentence."""
    (short_dir / "file").write_text("")
    for words, status in (
        (("exec", "box", "--", "no-such-program"), 127),
        (("exec", "box", "--", str(short_dir / "file")), 126),
        (("exec", "nobody", "--", "true"), 125),
        (("exec", "box"), 125),
        (("exec", "box", "--tyt", "--", "true"), 125),
        (("shell", "box"), 125),
    ):
        done = banger(vm, "vm", *words)
        assert done.returncode == status, (words, done)
        assert done.stderr.startswith(b"banger: ")


def test_all_bytes_pass_in_both_directions_at_once(vm: Environ) -> None:
    """H7: input and output far bigger than any buffer, binary, at the same time."""
    data = os.urandom(1 << 20) * 24
    done = run(vm, "cat", stdin=data)
    assert done.returncode == 0
    assert done.stdout == data


def test_stdout_and_stderr_stay_apart(vm: Environ) -> None:
    """H7: both big, interleaved, neither lost nor mixed."""
    script = "for i in $(seq 2000); do echo out$i; echo err$i >&2; done"
    done = run(vm, "sh", "-c", script)
    assert done.stdout == b"".join(b"out%d\n" % i for i in range(1, 2001))
    assert done.stderr == b"".join(b"err%d\n" % i for i in range(1, 2001))


def test_a_command_that_does_not_read_its_input(vm: Environ) -> None:
    """H7: endless input for a program that ends without reading it."""
    with open("/dev/zero", "rb") as zeros:
        process = popen(vm, "vm", "exec", "box", "-i", "--", "true", stdin=zeros)
        assert process.wait(30) == 0
        process.communicate()


def test_a_signal_does_not_wait_behind_input(vm: Environ) -> None:
    """H7, H3: the guest's program reads nothing, its input is full, and Ctrl-C still works."""
    feeder = subprocess.Popen(["cat", "/dev/zero"], stdout=subprocess.PIPE)
    # `exec`: a signal that meets dash 0.5.12 while it starts another program is lost.
    script = "echo up; exec sleep 1000"
    process = popen(vm, "vm", "exec", "box", "--", "sh", "-c", script, stdin=feeder.stdout)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGINT)
    said = process.communicate()
    assert process.returncode == 130, said
    feeder.kill()
    feeder.communicate()


def test_the_first_signal_goes_to_the_guest_and_the_second_ends_us(vm: Environ) -> None:
    """H3: a program that ignores SIGINT is killed when the user gives up."""
    script = "trap 'echo got' INT; echo $$; while :; do sleep 0.05; done"
    process = popen(vm, "vm", "exec", "box", "--", "sh", "-c", script)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"got\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.communicate()
    wait_until(lambda: not is_alive(pid), "the guest's program is killed")


def test_a_killed_client_takes_its_program_along(vm: Environ) -> None:
    """C5, H2: SIGKILL leaves no time to say anything; the daemon notices at once."""
    process = popen(vm, "vm", "exec", "box", "--", "sh", "-c", "echo $$; exec sleep 1000")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.communicate()
    wait_until(lambda: not is_alive(pid), "the guest's program is killed")


def test_a_daemon_that_dies_wakes_the_client(private_environ: Environ) -> None:
    """H2: exec does not hang, and the status says that it was not the command's."""
    with scripted_daemon(private_environ) as daemon:
        banger(private_environ, "vm", "create", "--name", "box")
        process = popen(private_environ, "vm", "exec", "box", "--", "sh", "-c", "echo $$; sleep 99")
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        daemon.kill()
        assert process.wait(30) == 125
        assert b"went away" in process.communicate()[1]
    # Nobody was left to end it: here the guest is the host.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def test_a_timeout_kills_the_group(vm: Environ) -> None:
    """H3: status 124 as timeout(1), and neither the command nor its children live on."""
    done = banger(
        vm, "vm", "exec", "box", "--timeout", "1", "--", "sh", "-c", "sleep 1000 & echo $!; wait"
    )
    assert done.returncode == 124
    assert b"1 s" in done.stderr
    wait_until(lambda: not is_alive(int(done.stdout)), "the group is killed")


def test_nobody_reads_our_output(vm: Environ) -> None:
    """H7: ends by SIGPIPE as any Unix tool, silently, also while the guest says nothing more."""
    for command in ("yes", "sleep 1000"):
        script = f"echo $$; exec {command}"
        process = popen(vm, "vm", "exec", "box", "--", "sh", "-c", script)
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.stdout.close()
        assert process.wait(30) == -signal.SIGPIPE
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.stdin is not None
        process.stdin.close()
        wait_until(lambda pid=pid: not is_alive(pid), "the guest's program is killed")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(vm: Environ, closed: str) -> None:
    """H7: a closed 0, 1 or 2 is /dev/null, and never becomes our own socket."""
    line = f'exec "$@" {closed}'
    script = "echo out; echo err >&2; cat; exit 3"
    done = subprocess.run(
        [
            *["sh", "-c", line, "sh", sys.executable],
            *"-m banger vm exec box -- sh -c".split(),
            script,
        ],
        check=False,
        env=with_sources(vm),
        capture_output=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 3
    assert done.stdout == (b"" if ">&-" in closed.replace("2>&-", "") else b"out\n")


def test_detached(vm: Environ) -> None:
    """It is a session, whose name is printed: without an input, unless asked for."""
    done = banger(vm, "vm", "exec", "box", "--detach", "-w", "/d", "--", "sleep", "1000")
    assert (done.returncode, done.stdout) == (0, b"busy-bee\n")
    done = banger(vm, "vm", "exec", "-d", "-i", "-e", "A=b", "box", "cat")
    assert (done.returncode, done.stdout) == (0, b"busy-bee\n")
    assert read_events(vm)[-2:] == [
        "started ['sleep', '1000'] {} /d False False in box",
        "started ['cat'] {'A': 'b'} None True False in box",
    ]


def test_the_environment_reaches_the_command(vm: Environ) -> None:
    """`-e K=V`, `-e K`; a value is never in the daemon's log (G6)."""
    environ = {**vm, "FROM_HERE": "secret-2"}
    done = banger(
        environ,
        *("vm", "exec", "box", "-e", "A=secret-1", "-e", "FROM_HERE", "--"),
        *("sh", "-c", "echo $A $FROM_HERE"),
    )
    assert done.stdout == b"secret-1 secret-2\n"
    log = Path(vm["XDG_STATE_HOME"], "banger/logs/bangerd.log").read_text()
    assert "vm.exec" in log
    assert "secret" not in log


# --- on a terminal -------------------------------------------------------------


def test_a_terminal_with_resize_keys_and_restore(vm: Environ) -> None:
    """H7: a TTY in the guest, its size, Ctrl-C as a key, our terminal restored."""
    terminal = Terminal(vm, "vm", "exec", "box", "--", "sh")
    try:
        terminal.send(b"tty >/dev/null && echo is-$((1+1))-tty $TERM; stty size\n")
        terminal.expect(b"is-2-tty vt220")
        terminal.expect(b"30 100")
        terminal.set_size(40, 120)
        # The size and the keys go different ways: asked until the new size is there.
        grown = b"until [ \"$(stty size)\" = '40 120' ]; do sleep 0.05; done; echo grown-$((1+1))\n"
        terminal.send(grown)
        # The shell's prompt may come before it on the line.
        terminal.expect(b"grown-2")
        assert termios.tcgetattr(terminal.slave) != terminal.before
        loop = "trap 'echo int-$((3+4)); exit' INT; echo go-$((1+4)); while :; do sleep 0.05; done"
        terminal.send(f'sh -c "{loop}"\n'.replace("$", "\\$").encode())
        terminal.expect(b"go-5")
        terminal.send(b"\x03")
        terminal.expect(b"int-7")
        terminal.send(b"exit 5\n")
        assert terminal.process.wait(30) == 5
        assert termios.tcgetattr(terminal.slave) == terminal.before
    finally:
        terminal.close()


def test_a_terminal_is_restored_when_we_are_ended(vm: Environ) -> None:
    """H7: SIGTERM from elsewhere: the terminal is as it was."""
    terminal = Terminal(vm, "vm", "shell", "box")
    try:
        terminal.send(b"echo up-$((1+1))\n")
        terminal.expect(b"up-2")
        assert termios.tcgetattr(terminal.slave) != terminal.before
        terminal.process.terminate()
        assert terminal.process.wait(30) == 143
        assert termios.tcgetattr(terminal.slave) == terminal.before
    finally:
        terminal.close()


def test_no_terminal_when_told_so(vm: Environ) -> None:
    """-T: pipes in the guest although we are on a terminal."""
    terminal = Terminal(vm, "vm", "exec", "box", "-T", "--", "sh", "-c", "tty; echo done-$((1+1))")
    try:
        terminal.expect(b"not a tty")
        terminal.expect(b"done-2")
        assert terminal.process.wait(30) == 0
    finally:
        terminal.close()


def test_a_terminal_that_is_closed_ends_everything(vm: Environ) -> None:
    """H2: the window is closed; neither we nor the guest's program stay behind."""
    terminal = Terminal(vm, "vm", "exec", "box", "--", "sh", "-c", "echo pid=$$.; exec sleep 1000")
    try:
        terminal.expect(b"pid=")
        terminal.expect(b".", keep=True)
        pid = int(terminal.output.partition(b".")[0])
        terminal.hang_up()
        assert terminal.process.wait(30) != 0
        wait_until(lambda: not is_alive(pid), "the guest's program is killed")
    finally:
        terminal.close()


def test_a_background_job_is_not_stopped_by_its_terminal(vm: Environ) -> None:
    """H7: it does not read from a terminal that is not its own (SIGTTIN would stop it)."""
    inside = "echo up-$((1+1)); sleep 1; echo done-$((1+1))"
    ours = f"{sys.executable} -m banger vm exec box -i -T -- sh -c '{inside}'"
    script = f"set -m; {ours} & wait $!; echo status-$?"
    terminal = Terminal(vm, "-c", script, program="bash")
    try:
        terminal.expect(b"up-2")
        terminal.send(b"for the shell in the foreground\n")
        terminal.expect(b"done-2")
        terminal.expect(b"status-0")
    finally:
        terminal.close()
