"""The exit status and the words of each class of failure, through the real command line (H1, H6).

One table for what the product promises; where a failure has a cause of its own that is tested in
more depth, the test is elsewhere, and the class is here all the same.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from tests.component.daemon.running import (
    banger,
    layout_of,
    popen,
    read_events,
    scripted_daemon,
    wait_until,
    with_sources,
)

Environ = dict[str, str]

FAMILIES = {
    "operation-failed": 1,
    "boot-failed": 1,
    "invalid-request": 2,
    "internal-error": 3,
    "not-found": 4,
    "vm-not-found": 4,
    "conflict": 5,
    "vm-busy": 5,
    "host-not-ready": 6,
    "no-space": 6,
    "daemon-unreachable": 7,
    "deadline-exceeded": 8,
    "denied": 9,
    "cancelled": 130,
}
"""The families, and some of what is in them, as the daemon answers with them."""

WORDS = {
    ("version",): 0,
    ("vm", "list"): 0,
    (): 0,
    ("--help",): 0,
    ("vm", "create", "--name", "unbootable"): 1,
    ("no-such-command",): 2,
    ("vm", "list", "--no-such-option"): 2,
    ("vm", "create", "--vcpu", "many"): 2,
    ("vm", "show"): 2,
    ("vm", "show", "nobody"): 4,
}
"""Whole commands."""


def test_each_class_of_failure_has_its_status(vm: Environ) -> None:
    """H6: a sentence of fact and a hint on stderr, nothing on stdout."""
    for code, status in FAMILIES.items():
        done = banger(vm, "vm", "create", "--label", f"fails={code}")
        assert (done.returncode, done.stdout) == (status, b""), (code, done)
        assert done.stderr.count(b"banger: It fails.\n  hint: banger vm list\n") == 1, done
        assert b"Traceback" not in done.stderr


def test_each_class_is_our_own_failure_where_a_guests_status_is_passed_on(vm: Environ) -> None:
    """H1: `run` cannot be told to have ended with 1 when its command never ran."""
    for code, status in FAMILIES.items():
        run = ("vm", "run", "--label", f"fails={code}", "--", "true")
        expected = status if status == 130 else 125
        assert banger(vm, *run).returncode == expected, code


@pytest.mark.parametrize(("words", "status"), WORDS.items(), ids=str)
def test_the_status_of_whole_commands(vm: Environ, words: tuple[str, ...], status: int) -> None:
    """H6: results are on stdout, everything else on stderr."""
    done = banger(vm, *words)
    assert done.returncode == status, done
    if status:
        assert done.stdout == b"" and b"banger: " in done.stderr
    else:
        assert done.stdout and not done.stderr


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 1", 1), ("exit 7", 7), ("exit 125", 125), ("exit 255", 255)]
    + [(f"kill -{number} $$", 128 + number) for number in (1, 2, 6, 9, 13, 15)],
)
def test_a_guests_status_is_its_own(vm: Environ, script: str, status: int) -> None:
    """H1: verbatim; 128+N for signal N; from `exec` and from `run`."""
    assert banger(vm, "vm", "exec", "box", "--", "sh", "-c", script).returncode == status
    assert banger(vm, "vm", "run", "-q", "--", "sh", "-c", script).returncode == status


def test_what_cannot_be_run(vm: Environ) -> None:
    """H1: as a shell has it, and with a sentence, so that it is not taken for the guest's."""
    for program, status in (("no-such-program", 127), ("/etc/passwd", 126)):
        for verb in (("exec", "box"), ("run", "-q")):
            done = banger(vm, "vm", *verb, "--", program)
            assert (done.returncode, done.stdout) == (status, b""), done
            assert program.encode() in done.stderr


def test_the_command_lines_own_bug(private_environ: Environ) -> None:
    """H6: 3; the report's path is printed, and what failed is in the report, for nobody else."""
    program = (
        "import sys; from banger.cli.app import main, table\n"
        "table.Command.load = lambda self: 1 / 0\n"
        "sys.argv = ['banger', 'version']; sys.exit(main.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=with_sources(private_environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    [report] = layout_of(private_environ).reports.iterdir()
    said = re.search(r"A report was written to (\S+)\.\n", done.stderr)
    assert said is not None and said[1] == str(report)
    assert "ZeroDivisionError" in report.read_text()
    assert report.stat().st_mode & 0o777 == 0o600


def test_the_daemons_bug(daemon: Environ) -> None:
    """H6: 3; the request's operation is named, by which the log has it; the daemon lives on."""
    done = banger(daemon, "vm", "create", "--name", "bug")
    assert done.returncode == 3
    [report] = layout_of(daemon).reports.iterdir()
    assert f"A report was written to {report}." in done.stderr.decode()
    assert "a bug of the test's own" in report.read_text()
    operation = re.search(r"operation: (op-[0-9a-f]{12}) ", done.stderr.decode())
    assert operation is not None and operation[1] in layout_of(daemon).daemon_log.read_text()
    assert banger(daemon, "vm", "list").returncode == 0


def test_no_daemon_can_be_reached(private_environ: Environ) -> None:
    """H6: 7 from whoever needs one and starts none; and when it goes away in the middle."""
    assert banger(private_environ, "daemon", "status").returncode == 7
    with scripted_daemon(private_environ) as daemon:
        process = popen(private_environ, "vm", "create", "--name", "hangs")
        wait_until(lambda: "hangs" in read_events(private_environ), "it waits")
        daemon.kill()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (7, b"")
    assert b"went away" in err and b"hint: banger" in err


def test_time_is_over(vm: Environ) -> None:
    """H3, H9: a command's own time ends as timeout(1) does; and says which time it was."""
    done = banger(vm, "vm", "exec", "--timeout", "0.2", "box", "--", "sleep", "1000")
    assert done.returncode == 124
    assert b"within 0.2 s" in done.stderr


def test_interrupted(daemon: Environ) -> None:
    """C5: 130 whatever waits, and silence."""
    for verb, *rest in (("create",), ("run", "--", "true")):
        process = popen(daemon, "vm", verb, "--name", "hangs", *rest)
        wait_until(lambda: read_events(daemon)[-1:] == ["hangs"], "it waits")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (130, b"")
        assert b"banger: " not in err and b"Traceback" not in err
        wait_until(lambda: read_events(daemon)[-1:] == ["create cancelled"], "it is cancelled")
