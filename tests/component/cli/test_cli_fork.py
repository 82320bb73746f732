"""`vm fork`, `vm pause`, `vm snapshot` and `vm run --fork` against a real daemon's protocol."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.component.cli.terminal import Terminal
from tests.component.daemon.running import (
    banger,
    is_alive,
    layout_of,
    popen,
    read_events,
    wait_until,
    with_sources,
)
from tests.support import repositories

Environ = dict[str, str]

FORK = ("vm", "run", "--name", "box", "--fork", "3")
HEADER = "N STATUS SECONDS FILES BRANCH".split()


def read_table(stdout: bytes) -> list[list[str]]:
    """Return the cells of the table at the end, without the seconds."""
    lines = [line.split() for line in stdout.decode().splitlines()]
    return [row[:2] + row[3:] for row in lines[lines.index(HEADER) + 1 :]]


def said_by(stdout: bytes, number: int) -> bytes:
    label = b"[%d] " % number
    lines = stdout.splitlines(keepends=True)
    return b"".join(line.removeprefix(label) for line in lines if line.startswith(label))


# --- vm run --fork -------------------------------------------------------------------


def test_the_command_runs_in_every_fork(daemon: Environ) -> None:
    """H1: each with its number; the status is that of the first that failed."""
    script = "echo out {n}; echo err {n} >&2; exit $((({n} - 1) * 5))"
    done = banger(daemon, *FORK, "--rm", "--", "sh", "-c", script)
    assert done.returncode == 5
    for number in (1, 2, 3):
        assert said_by(done.stdout, number) == b"out %d\n" % number
        assert b"[%d] err %d\n" % (number, number) in done.stderr
    assert read_table(done.stdout) == [
        ["1", "0", "-", "-"],
        ["2", "5", "-", "-"],
        ["3", "10", "-", "-"],
    ]
    assert read_events(daemon) == [
        *("created box", "forked box 3"),
        *("deleted box-3", "deleted box-2", "deleted box-1", "deleted box"),
    ]


def test_every_word_of_the_command_has_the_number(daemon: Environ) -> None:
    done = banger(
        daemon, "vm", "run", "--fork", "2", "--rm", "--", "printf", "%s|", "{n}", "x{n}{n}"
    )
    assert done.returncode == 0
    assert said_by(done.stdout, 2) == b"2|x22|\n"


def test_without_a_repository_nothing_is_left(daemon: Environ) -> None:
    """H4: what the commands print is the whole result."""
    done = banger(daemon, *FORK, "--", "true")
    assert done.returncode == 0 and b"left" not in done.stderr
    assert json.loads(banger(daemon, "vm", "list", "--json").stdout) == []


def test_without_rm_one_line_says_what_is_left(daemon: Environ, tmp_path: Path) -> None:
    """H4."""
    top = repositories.init(tmp_path / "project")
    done = banger(daemon, *FORK, str(top), "--", "true")
    # Not box-3, which holds a result that could not be brought back.
    line = b"3 VMs are left, 3 running; delete them: banger vm delete box box-1 box-2\n"
    assert line in done.stderr
    assert b"The VM box-3 is kept because it holds the result" in done.stderr
    assert len(json.loads(banger(daemon, "vm", "list", "--json").stdout)) == 4


def test_results_become_branches(daemon: Environ, tmp_path: Path) -> None:
    """Prepared once; each is kept, what is not committed, too; one that cannot be is told."""
    top = repositories.init(tmp_path / "project")
    (top / "below").mkdir()
    done = banger(daemon, *FORK, "--rm", str(top / "below"), "--", "pwd")
    assert done.returncode == 125
    assert read_table(done.stdout) == [
        ["1", "0", "1", "banger/box-1"],
        ["2", "0", "0", "none:", "nothing", "changed"],
        ["3", "0", "-", "-"],
    ]
    assert said_by(done.stdout, 1) == f"{top}/below\n".encode()
    assert b"[3] banger: There is a conflict.\n[3]   hint: none\n" in done.stderr
    fetch = b"banger vm workspace export box-3 --branch banger-box-3 --include-uncommitted\n"
    assert fetch in done.stderr
    events = read_events(daemon)
    assert events.count("prepared box") == 1
    assert [event for event in events if event.startswith(("kept", "deleted"))] == [
        # From when their commands begin nobody but this run may delete them.
        *("kept box-1", "kept box-2", "kept box-3"),
        *("deleted box-2", "deleted box-1", "deleted box"),
    ]
    exported = sorted(event for event in events if event.startswith("exported"))
    assert exported == [f"exported box-{number} True True" for number in (1, 2, 3)]


def test_our_own_failures_in_a_fork(daemon: Environ) -> None:
    """H1: 127 as for one VM; and a deadline holds for each fork."""
    done = banger(daemon, *FORK, "--rm", "--", "no-such-program")
    assert done.returncode == 127
    assert done.stderr.count(b"] banger: The guest has no program no-such-program.") == 3
    script = "[ {n} = 2 ] || exit 0; echo before; exec sleep 1000"
    done = banger(daemon, *FORK, "--rm", "--timeout", "1s", "--", "sh", "-c", script)
    assert done.returncode == 124
    assert [row[1] for row in read_table(done.stdout)] == ["0", "124", "0"]
    assert said_by(done.stdout, 2) == b"before\n"
    assert b"[2] banger: The command did not finish within 1 s" in done.stderr


def test_much_output_of_all_is_whole_lines(daemon: Environ) -> None:
    """H7: no line is torn, none is lost, and the last one gets its newline."""
    script = "i=0; while [ $i -lt 3000 ]; do echo line-$i-of-{n}; i=$((i+1)); done; printf end"
    done = banger(daemon, *FORK, "--rm", "--", "sh", "-c", script)
    for number in (1, 2, 3):
        expected = "".join(f"line-{i}-of-{number}\n" for i in range(3000)) + "end\n"
        assert said_by(done.stdout, number) == expected.encode()


@pytest.mark.parametrize("rm", [True, False])
def test_ctrl_c_ends_all_commands(daemon: Environ, tmp_path: Path, rm: bool) -> None:
    """C5, H3, H4: 130; the commands are killed, and with --rm all is deleted before we end."""
    script = "echo $$ >$1/{n}; exec sleep 1000"
    top = repositories.init(tmp_path / "project")
    pids = tmp_path / "pids"
    pids.mkdir()
    options = ["--rm"] if rm else []
    process = popen(daemon, *FORK, *options, str(top), "--", "sh", "-c", script, "sh", str(pids))

    def find_pids() -> list[int]:
        return [int(text) for f in pids.iterdir() if (text := f.read_text().strip())]

    wait_until(lambda: len(find_pids()) == 3, "all run")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in err and b"SECONDS" not in out
    wait_until(lambda: not any(is_alive(pid) for pid in find_pids()), "all are killed")
    deleted = [event for event in read_events(daemon) if event.startswith("deleted")]
    assert deleted == ["deleted box-3", "deleted box-2", "deleted box-1", "deleted box"] * rm
    assert (b"4 VMs are left" in err) is not rm


def test_a_killed_client_takes_its_forks_along(daemon: Environ) -> None:
    """C5: what only lived for it is deleted by the daemon."""
    process = popen(daemon, *FORK, "--rm", "--", "sh", "-c", "echo up; exec sleep 1000")
    assert process.stdout is not None
    assert process.stdout.readline().endswith(b"up\n")
    process.kill()
    process.communicate(timeout=30)
    wanted = {"forgot box", "forgot box-1", "forgot box-2", "forgot box-3"}
    wait_until(lambda: wanted <= set(read_events(daemon)), "all are forgotten")


def test_a_reader_that_leaves_ends_all(daemon: Environ) -> None:
    """H7: `| head -1`, and --rm still deletes."""
    process = popen(daemon, *FORK, "--rm", "--", "yes")
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == -signal.SIGPIPE
    assert b"Traceback" not in process.communicate()[1]
    assert read_events(daemon)[-1] == "deleted box"


def test_a_full_disk_is_said_in_one_sentence(daemon: Environ) -> None:
    """A10, H6."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "banger", *FORK, "-q", "--rm", "--", "yes"],
            env=with_sources(daemon),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 125
    assert done.stderr == b"banger: The output cannot be written: No space left on device.\n"


def test_on_a_terminal_lines_are_made_harmless(daemon: Environ) -> None:
    """E3."""
    terminal = Terminal(daemon, *FORK, "-q", "--rm", "--", "printf", "\\033[31mred\\007\\n")
    try:
        terminal.expect(b"[2] red\r\n", keep=True)
        terminal.expect(b"BRANCH", keep=True)
        assert b"\x1b" not in terminal.output and b"\x07" not in terminal.output
    finally:
        terminal.close()


def test_timings_name_the_fork(daemon: Environ) -> None:
    done = banger(daemon, *FORK, "-q", "--rm", "--timings", "--", "true")
    stages = [line.split()[0] for line in done.stderr.decode().splitlines()]
    assert stages == ["client", "boot", "snapshot", "command", "delete", "total"]


def test_while_results_are_kept_a_stage_is_shown(daemon: Environ, tmp_path: Path) -> None:
    """H9: it may take long, and by then no command writes any more."""
    top = repositories.init(tmp_path / "project")
    gate = layout_of(daemon).state / "gate"
    process = popen(daemon, *FORK, "--rm", "--label", "slow=1", str(top), "--", "true")
    assert process.stderr is not None
    said = b""
    while b"branches ..." not in said:
        piece = os.read(process.stderr.fileno(), 4096)
        assert piece, said
        said += piece
    gate.touch()
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 125
    assert len(read_table(out)) == 3


def test_dry_run_names_the_forks(daemon: Environ) -> None:
    done = banger(daemon, "vm", "run", "--dry-run", "--fork", "3", "--", "true")
    assert done.returncode == 0
    assert b"forks: 3\n" in done.stderr


# --- vm fork, pause, resume, snapshot --------------------------------------------------


def test_fork_prints_names_or_ids(vm: Environ) -> None:
    assert banger(vm, "vm", "fork", "box").stdout == b"box-1\n"
    done = banger(vm, "vm", "fork", "box", "-n", "2", "--name", "twin")
    assert done.stdout == b"twin-1\ntwin-2\n"
    assert banger(vm, "vm", "fork", "-q", "box").stdout == b"000000000005\n"
    views = json.loads(banger(vm, "vm", "fork", "--json", "--number", "2", "box").stdout)
    assert [view["name"] for view in views] == ["box-1", "box-2"]
    done = banger(vm, "vm", "fork", "-q", "--timings", "box")
    stages = [line.split()[0] for line in done.stderr.decode().splitlines()]
    assert stages == ["client", "snapshot", "total"]


def test_pause_and_resume(vm: Environ) -> None:
    """The list shows it; several VMs at once."""
    banger(vm, "vm", "create", "--name", "other")
    done = banger(vm, "vm", "pause", "box", "other")
    assert (done.returncode, done.stderr) == (0, b"paused box\npaused other\n")
    assert banger(vm, "vm", "list").stdout.count(b" paused ") == 2
    done = banger(vm, "vm", "resume", "box", "nobody")
    assert done.returncode == 4
    assert b"resumed box\n" in done.stderr
    assert banger(vm, "vm", "list").stdout.count(b" paused ") == 1


def test_snapshots(vm: Environ) -> None:
    assert banger(vm, "vm", "snapshot", "create", "box").stdout == b"snapshot-1\n"
    assert banger(vm, "vm", "snapshot", "create", "-q", "box", "mine").stdout == b"000000000002\n"
    made = json.loads(banger(vm, "vm", "snapshot", "create", "--json", "box").stdout)
    assert made["name"] == "snapshot-3"
    table = banger(vm, "vm", "snapshot", "list", "box").stdout.decode().splitlines()
    assert table[0].split() == "NAME ID SIZE USERS AGE".split()
    assert table[1].split()[:5] == ["snapshot-1", "000000000001", "1.5", "MB", "box-1"]
    assert table[2].split()[4] == "-"
    assert banger(vm, "vm", "snapshot", "ls", "-q", "box").stdout.count(b"\n") == 3
    listed = json.loads(banger(vm, "vm", "snapshot", "list", "--json", "box").stdout)
    assert [snapshot["name"] for snapshot in listed] == ["snapshot-1", "mine", "snapshot-3"]
    done = banger(vm, "vm", "snapshot", "restore", "box", "mine")
    assert (done.returncode, done.stderr) == (0, b"restored box to mine\n")
    done = banger(vm, "vm", "snapshot", "rm", "box", "mine", "none", "snapshot-3")
    assert done.returncode == 4
    assert done.stderr.startswith(b"deleted mine\n")
    assert done.stderr.endswith(b"deleted snapshot-3\n")


@pytest.mark.parametrize("words", ["-n 0 box", "-n 65 box", "-n x box", "", "a b"])
def test_a_bad_fork_is_refused_before_a_daemon_is_asked(
    private_environ: Environ, words: str
) -> None:
    """C7."""
    assert banger(private_environ, "vm", "fork", *words.split()).returncode == 2


def test_uncommitted_needs_a_branch(vm: Environ) -> None:
    done = banger(vm, "vm", "workspace", "export", "--include-uncommitted", "box")
    assert done.returncode == 2
    assert b"needs --branch" in done.stderr
    words = ("--branch", "b", "--include-uncommitted", "box")
    assert banger(vm, "vm", "workspace", "export", *words).returncode == 0
    assert read_events(vm)[-1] == "exported box True False"
