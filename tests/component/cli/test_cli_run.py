"""`vm run` and the other verbs through the real command line and a real daemon."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from banger.client import client
from tests.component.cli.terminal import Terminal
from tests.component.daemon.running import (
    banger,
    layout_of,
    popen,
    read_events,
    scripted_daemon,
    wait_until,
    with_sources,
)
from tests.component.daemon.scripted import PATCH

Environ = dict[str, str]


# --- vm run --------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 42])
def test_rm_deletes_whatever_the_status_was(daemon: Environ, status: int) -> None:
    """H4: the VM is gone when we are, and nothing says that it still runs."""
    argv = ["vm", "run", "--rm", "--name", "box", "--", "sh", "-c", f"exit {status}"]
    done = banger(daemon, *argv)
    assert done.returncode == status
    assert read_events(daemon) == ["created box", "deleted box"]
    assert b"still runs" not in done.stderr
    assert b"spec: 1 vcpu | 512 MiB" in done.stderr
    assert done.stdout == b""


def test_without_rm_one_line_says_how_to_stop_it(daemon: Environ) -> None:
    """H4: and only because it is so."""
    done = banger(daemon, "vm", "run", "--name", "box", "--", "true")
    assert done.returncode == 0
    assert b"box still runs; stop it: banger vm stop box" in done.stderr
    assert read_events(daemon) == ["created box"]


def test_quiet_says_nothing(daemon: Environ) -> None:
    done = banger(daemon, "vm", "run", "-q", "--name", "box", "--", "echo", "hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hi\n", b"")


def test_timings_print_the_stages(daemon: Environ) -> None:
    done = banger(daemon, "vm", "run", "-q", "--rm", "--timings", "--", "true")
    lines = done.stderr.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["client", "boot", "command", "delete", "total"]


def test_a_failed_boot_is_kept_and_says_where_to_look(daemon: Environ) -> None:
    """H5: with --rm, too; 125, since no command of the guest ran."""
    done = banger(daemon, "vm", "run", "--rm", "--name", "unbootable", "--", "true")
    assert done.returncode == 125
    assert b"did not boot" in done.stderr
    assert b"banger vm logs unbootable" in done.stderr
    assert b"operation: op-" in done.stderr
    assert read_events(daemon) == []


def test_ctrl_c_in_the_command_deletes_with_rm(daemon: Environ) -> None:
    """H4, H3: 130, and the VM is gone before we are."""
    argv = ["vm", "run", "--rm", "--name", "box", "--", "sh", "-c", "echo up; exec sleep 1000"]
    process = popen(daemon, *argv)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert "deleted box" in read_events(daemon)


def test_detached_prints_the_name(daemon: Environ) -> None:
    done = banger(daemon, "vm", "run", "--detach", "--name", "box")
    assert done.returncode == 0
    assert done.stdout == b"box\n"
    assert read_events(daemon) == ["created box"]


def test_a_detached_command_is_a_session(daemon: Environ) -> None:
    """Both names on one line, as `vm logs` takes them."""
    words = ("--detach", "--name", "box", "-e", "A=1", "--", "make", "serve")
    done = banger(daemon, "vm", "run", *words)
    assert (done.returncode, done.stdout) == (0, b"box busy-bee\n")
    assert b"banger vm logs -f box busy-bee" in done.stderr
    started = "started ['make', 'serve'] {'A': '1'} None False False in box"
    assert read_events(daemon) == ["created box", started]


def test_input_and_environment_reach_the_command(daemon: Environ) -> None:
    argv = ["vm", "run", "--rm", "-e", "A=1", "--", "sh", "-c", "cat; echo $A"]
    done = banger(daemon, *argv, stdin=b"from a pipe\n")
    assert done.stdout == b"from a pipe\n1\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--detach", "--rm"],
        ["--detach", "--rm", "--", "true"],
        ["--detach", "--timeout", "5s", "--", "true"],
        ["--detach", "--entrypoint", "--", "true"],
        ["--detach", "--env", "A=1"],
        ["--detach", "--fork", "2"],
        ["--reuse", "--", "true"],
        ["--reuse", "--rm", "/", "--", "true"],
        ["--reuse", "--fork", "2", "/", "--", "true"],
        ["--env-file", "/no/such", "--", "true"],
        ["--fork", "2"],
        ["--fork", "0", "--", "true"],
        ["--fork", "65", "--", "true"],
        ["--fork", "-1", "--", "true"],
        ["--fork", "many", "--", "true"],
        ["--"],
        ["--branch", "b", "--", "true"],
        ["--include-untracked", "--", "true"],
        ["--from", "HEAD", "--", "true"],
        ["--full", "--", "true"],
        ["--plain", "--", "true"],
        ["/etc", "--plain", "--full", "--", "true"],
        ["/etc", "--plain", "--rm", "--branch", "b", "--", "true"],
        ["/etc", "--plain", "--fork", "2", "--", "true"],
        ["--vcpu", "0", "--", "true"],
        ["--vcpu", "-1", "--", "true"],
        ["--memory", "-1G", "--", "true"],
        ["--memory", "much", "--", "true"],
        ["--disk", "0", "--", "true"],
        ["--driver", "abacus", "--", "true"],
        ["--network", "wifi", "--", "true"],
        ["--timeout", "0", "--", "true"],
        ["--label", "=x", "--", "true"],
        ["/no/such/path", "--", "true"],
        ["/proc", "--", "true"],
        ["a", "b", "--", "true"],
        ["--nmae", "x", "--", "true"],
        [],
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_exists(
    private_environ: Environ, words: list[str]
) -> None:
    """C7, H6: 125 (no command ran), one sentence; not even a daemon was started."""
    done = banger(private_environ, "vm", "run", *words)
    assert done.returncode == 125
    assert done.stderr.startswith(b"banger: ")
    assert done.stdout == b""
    assert not layout_of(private_environ).daemon_socket.exists()


# --- other verbs -----------------------------------------------------------------


def test_the_good_targets_are_done(daemon: Environ) -> None:
    """Several targets: the status says that not all went well; the good ones are done."""
    for name in ("one", "two"):
        banger(daemon, "vm", "create", "--name", name)
    done = banger(daemon, "vm", "delete", "one", "nobody", "two")
    assert done.returncode == 4
    assert b"There is no VM nobody." in done.stderr
    assert read_events(daemon)[2:] == ["deleted one", "deleted two"]


def test_lists(daemon: Environ) -> None:
    """Table, ids, JSON; nothing is cut where stdout is no terminal."""
    name = "a-name-that-is-much-longer-than-any-column-should-be"
    banger(daemon, "vm", "create", "--name", name, "--memory", "2G", "--disk", "10G")
    table = banger(daemon, "vm", "list").stdout.decode().splitlines()
    assert table[0].split() == (
        "ID NAME STATE IMAGE ADDRESS VCPU MEM DISK WORKSPACE AGE LINK".split()
    )
    assert table[1].split()[:8] == [
        *["000000000001", name, "running", "debian-bookworm", "127.77.3.9", "1", "2G", "10G"]
    ]
    assert banger(daemon, "ps", "-q").stdout == b"000000000001\n"
    [view] = json.loads(banger(daemon, "vm", "ls", "--json").stdout)
    assert (view["name"], view["memory_mib"]) == (name, 2048)
    view = json.loads(banger(daemon, "vm", "show", "--json", name).stdout)
    assert view["id"] == "000000000001"
    assert b"2G memory" in banger(daemon, "vm", "show", name).stdout


def test_create_prints_the_name_or_the_id(daemon: Environ) -> None:
    assert banger(daemon, "vm", "create", "--name", "a").stdout == b"a\n"
    assert banger(daemon, "vm", "create", "-q").stdout == b"000000000002\n"
    assert json.loads(banger(daemon, "vm", "create", "--json").stdout)["id"] == "000000000003"
    done = banger(daemon, "vm", "create", "-q", "--timings")
    stages = [line.split()[0] for line in done.stderr.decode().splitlines()]
    assert stages == ["client", "boot", "total"]


def test_logs_end_with_their_reader(vm: Environ) -> None:
    """H7: `vm logs -f | head`; bytes pass unchanged when stdout is no terminal."""
    assert banger(vm, "vm", "logs", "box").stdout == b"\x1b[31mbooting\x1b[0m\x07\n"
    process = popen(vm, "vm", "logs", "--follow", "box")
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == -signal.SIGPIPE
    process.communicate()


def test_export_to_a_file_or_stdout(vm: Environ, short_dir: Path) -> None:
    """H7, A9: every byte; a file is whole or not there, and an old one is kept."""
    assert banger(vm, "vm", "workspace", "export", "box").stdout == PATCH
    target = short_dir / "out.patch"
    assert banger(vm, "vm", "workspace", "export", "box", "-o", str(target)).returncode == 0
    assert target.read_bytes() == PATCH
    banger(vm, "vm", "create", "--name", "bad", "--label", "unsafe=1")
    done = banger(vm, "vm", "workspace", "export", "bad", "-o", str(target))
    assert done.returncode == 1
    assert b"not safe" in done.stderr
    assert target.read_bytes() == PATCH
    assert [path.name for path in short_dir.glob(".banger*")] == []


def test_json_goes_to_stdout_and_ends_quietly_without_a_reader(vm: Environ) -> None:
    """H7: `banger vm list --json | true`."""
    line = f"{sys.executable} -m banger vm list --json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], env=with_sources(vm), capture_output=True, timeout=60, check=False
    )
    assert done.stderr == b""
    assert done.stdout in (b"0\n", b"141\n")


def test_ctrl_c_while_waiting(daemon: Environ) -> None:
    """C5: 130 and silence; the request is cancelled."""
    process = popen(daemon, "vm", "create", "--name", "hangs")
    wait_until(lambda: "hangs" in read_events(daemon), "it waits")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in err
    wait_until(lambda: "create cancelled" in read_events(daemon), "it is cancelled")


LATE = ("completes", "races")
"""Names of VMs whose making is completed nevertheless: when it is cancelled, or just before."""


def interrupt_making(environ: Environ, name: str, *words: str) -> str:
    """Interrupt a command that makes a VM while it waits for the daemon; return what it said."""
    process = popen(environ, *words, "--name", name)

    def is_asleep() -> bool:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"

    assert process.stderr is not None
    said = b"" if name == "mute" else process.stderr.readline()
    wait_until(lambda: name in read_events(environ), "the daemon works")
    wait_until(is_asleep, "the command has read all that the daemon has told")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    return (said + err).decode()


@pytest.mark.parametrize("name", LATE)
def test_a_vm_that_ctrl_c_finds_completed_is_named(daemon: Environ, name: str) -> None:
    """C5: it was created, so that is said."""
    said = interrupt_making(daemon, name, "vm", "create")
    stop = f"stop it: banger vm stop {name}"
    assert said.endswith(f"Interrupted too late: {name} still runs; {stop}\n")
    assert read_events(daemon) == [name, f"created {name}"]


@pytest.mark.parametrize("name", LATE)
def test_a_run_deletes_what_ctrl_c_finds_completed(daemon: Environ, name: str) -> None:
    """C5, H4: no command was run in it."""
    said = interrupt_making(daemon, name, "vm", "run", "--detach")
    assert said.endswith(f"Deleted {name}: no command was run there.\n")
    assert "no VM" not in said
    assert read_events(daemon) == [name, f"created {name}", f"deleted {name}"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hangs", "Interrupted; no VM was created."),
        ("fails", "banger: The VM did not boot."),
        ("mute", "Interrupted; a VM may have been created: banger vm list"),
    ],
)
def test_an_interrupted_run_says_what_became_of_it(daemon: Environ, name: str, told: str) -> None:
    """C5, H6: undone, failed by itself, or not known."""
    said = interrupt_making(daemon, name, "vm", "run", "--detach").splitlines()
    assert told in said
    assert name == "hangs" or "Interrupted; no VM was created." not in said


def test_nothing_is_left_of_a_request_that_was_not_sent(
    private_environ: Environ, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C5: Ctrl-C comes while the daemon is started."""

    def connect(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "connect", connect)
    with pytest.raises(client.Interrupted) as caught:
        client.Client(layout_of(private_environ)).request("vm.create")
    assert caught.value.result is None


def test_a_stage_without_a_terminal_gets_a_line(daemon: Environ) -> None:
    """H9: a stage that lasts shows that it lives, and no escape sequence is written."""
    process = popen(daemon, "vm", "create", "--name", "hangs")
    assert process.stderr is not None
    assert process.stderr.readline() == b"spec: 1 vcpu | 512 MiB\n"
    assert process.stderr.readline() == b"boot ...\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def test_the_socket_of_somebody_else(private_environ: Environ) -> None:
    """G1: a daemon's socket that we may not open is told, and no other daemon is started."""
    layout = layout_of(private_environ)
    with scripted_daemon(private_environ):
        os.chmod(layout.daemon_socket, 0)
        done = banger(private_environ, "image", "list")
        os.chmod(layout.daemon_socket, 0o600)
    assert done.returncode == 6
    assert str(layout.daemon_socket).encode() in done.stderr


def test_a_stage_on_a_terminal_is_drawn_and_erased(daemon: Environ) -> None:
    """H9: live, with the time that has passed; nothing of it stays behind."""
    terminal = Terminal({**daemon, "NO_COLOR": "1"}, "vm", "create", "--name", "hangs")
    try:
        terminal.expect(b"spec: 1 vcpu | 512 MiB")
        terminal.expect(b"boot")
        terminal.expect(b"0:00:01", keep=True)
        assert re.search(rb"\x1b\[[0-9;]*3[0-9]m", terminal.output) is None
        terminal.send(b"\x03")
        assert terminal.process.wait(30) == 130
    finally:
        terminal.close()


def test_a_table_on_a_terminal_fits_its_width(daemon: Environ) -> None:
    name = "a-name-that-is-much-longer-than-any-column-should-be"
    banger(daemon, "vm", "create", "--name", name)
    terminal = Terminal(daemon, "vm", "list")
    try:
        terminal.expect(b"AGE", keep=True)
        terminal.expect(b"d\r\n", keep=True)
        assert b"WORKSPACE" not in terminal.output
        assert name.encode() in terminal.output, "columns are left out before a name is cut"
        assert max(len(line) for line in terminal.output.splitlines()) <= 100
    finally:
        terminal.close()


def test_a_log_on_a_terminal_is_made_harmless(vm: Environ) -> None:
    """E3: colours and bells of the guest's console do not reach the user's terminal."""
    terminal = Terminal(vm, "vm", "logs", "box")
    try:
        terminal.expect(b"booting\r\n", keep=True)
        assert terminal.output == b"booting\r\n"
    finally:
        terminal.close()


def test_prune_asks(vm: Environ) -> None:
    """It names what would go, and nothing else goes; without a terminal to ask on it refuses."""
    done = banger(vm, "vm", "prune")
    assert done.returncode == 2
    assert b"--force" in done.stderr
    assert banger(vm, "vm", "prune", "--dry-run").stdout == b"000000000001\n"
    terminal = Terminal(vm, "vm", "prune")
    try:
        terminal.expect(b"box (running, created ")
        terminal.expect(b"Delete this VM with its disk? [y/N]")
        terminal.send(b"n\n")
        terminal.expect(b"Nothing was deleted")
    finally:
        terminal.close()
    banger(vm, "vm", "create", "--name", "chest")
    terminal = Terminal(vm, "vm", "prune")
    try:
        terminal.expect(b"Delete these 2 VMs with their disks? [y/N]")
        banger(vm, "vm", "create", "--name", "late")
        terminal.send(b"y\n")
        assert terminal.process.wait(30) == 0
    finally:
        terminal.close()
    assert read_events(vm)[-2:] == ["deleted box", "deleted chest"]
    banger(vm, "vm", "delete", "late")
    banger(vm, "vm", "create", "--name", "box")
    assert banger(vm, "vm", "prune", "-f").stdout == b"000000000001\n"
    assert read_events(vm)[-1] == "deleted box"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("vm list", 1),
        ("vm list --json", 1),
        ("vm exec box -- yes", 125),
        ("vm logs -f box", 1),
        ("--help", 1),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written(
    vm: Environ, words: str, status: int, unbuffered: str
) -> None:
    """A10, H6: a full disk is said in one sentence, and is no bug, whenever it is noticed."""
    sentence = "The output cannot be written: No space left on device."
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "banger", *words.split()],
            env=with_sources(vm) | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == status
    if "--json" in words:
        assert json.loads(done.stderr)["error"]["message"] == sentence
    else:
        assert done.stderr.decode() == f"banger: {sentence}\n"
