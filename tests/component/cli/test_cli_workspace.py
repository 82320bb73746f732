"""`vm workspace status/diff/apply/sync` through the real command line and a scripted daemon."""

from __future__ import annotations

import json

import pytest

from tests.component.cli.terminal import Terminal
from tests.component.daemon.running import banger
from tests.component.daemon.scripted_workspaces import DIFF

Environ = dict[str, str]


def test_a_status_says_what_changed_on_both_sides(vm: Environ) -> None:
    """E3: names of the guest are printed harmless."""
    done = banger(vm, "vm", "workspace", "status", "box")
    assert done.stdout.decode().splitlines() == [
        "workspace: /root/project from /home/u/project",
        "copied:    main 111111111111",
        "guest:     no branch 222222222222, 2 commits since",
        "host:      main 111111111111, 1 file changed since "
        "(to copy again: banger vm workspace prepare box PATH)",
        "changes:   1 file",
        "M a\\x1b[31m",
    ]
    assert done.stderr == b"A notice.\n"
    document = json.loads(banger(vm, "vm", "workspace", "status", "box", "--json").stdout)
    assert document["is_stale"] is True


@pytest.mark.parametrize("style", ["patch", "stat", "word"])
def test_a_diff_into_a_pipe_is_every_byte(vm: Environ, style: str) -> None:
    option = [] if style == "patch" else [f"--{style}"]
    done = banger(vm, "vm", "workspace", "diff", "box", *option)
    assert done.stdout == f"{style} 80\n".encode() + DIFF


def test_a_diff_on_a_terminal_is_coloured_and_harmless(vm: Environ) -> None:
    """E3: our colours, and none of the guest's."""
    terminal = Terminal(vm, "vm", "workspace", "diff", "box", "--no-pager")
    try:
        terminal.expect(b"new", keep=True)
        terminal.expect(b"\x1b[m\r\n", keep=True)
        assert b"patch 100\r\n\x1b[1mdiff --git" in terminal.output
        assert b"\x1b[31m-old red\x1b[m\r\n" in terminal.output
        assert b"\x07" not in terminal.output
    finally:
        terminal.close()


def test_a_pager_gets_what_the_terminal_would(vm: Environ) -> None:
    pager = {"BANGER_PAGER": "sed s/old/seen-by-the-pager/", "NO_COLOR": "1"}
    terminal = Terminal(vm | pager, "vm", "workspace", "diff", "box", "--word")
    try:
        terminal.expect(b"-seen-by-the-pager red\r\n")
        assert terminal.process.wait(30) == 0
    finally:
        terminal.close()


def test_a_pager_that_is_quit_is_no_error(vm: Environ) -> None:
    terminal = Terminal(vm | {"PAGER": "true"}, "vm", "workspace", "diff", "box")
    try:
        assert terminal.process.wait(30) == 0
    finally:
        terminal.close()


def test_styles_exclude_each_other(vm: Environ) -> None:
    assert banger(vm, "vm", "workspace", "diff", "box", "--stat", "--word").returncode == 2


def test_an_apply_says_what_it_did(vm: Environ) -> None:
    done = banger(vm, "vm", "workspace", "apply", "box")
    assert (done.returncode, done.stdout) == (0, b"write a\ndelete b\nmerge c\n")
    banger(vm, "vm", "create", "--name", "same", "--label", "unchanged=1")
    done = banger(vm, "vm", "workspace", "apply", "same")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"There is nothing to apply." in done.stderr


def test_conflicts_are_explained(vm: Environ) -> None:
    """H6: nothing was written, why, and what could be done; 1 if something was."""
    banger(vm, "vm", "create", "--name", "torn", "--label", "conflicts=1")
    done = banger(vm, "vm", "workspace", "apply", "torn")
    assert done.returncode == 5
    assert done.stdout.endswith(b"conflict d: changed on both sides\n")
    assert b"1 change of the guest cannot be applied; nothing was written." in done.stderr
    assert b"--3way" in done.stderr
    done = banger(vm, "vm", "workspace", "apply", "torn", "--3way")
    assert done.returncode == 1
    assert done.stdout.endswith(b"conflict d: changed on both sides, marked in the file\n")
    assert banger(vm, "vm", "workspace", "apply", "torn", "--check").returncode == 1


def test_a_sync_says_what_went_where(vm: Environ) -> None:
    """E3, H6: the status is 5 if something conflicts, and the rest is done."""
    done = banger(vm, "vm", "workspace", "sync", "box")
    lines = b"guest write c\nhost write a\\x1b[31m\nhost delete b\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, lines, b"A notice.\n")
    banger(vm, "vm", "create", "--name", "split", "--label", "conflicts=1")
    done = banger(vm, "vm", "workspace", "sync", "split")
    assert done.returncode == 5
    assert done.stdout == lines + b"conflict d: a reason (D\\x07)\n"
    assert b"1 file conflicts and was left as it is on both sides." in done.stderr
    paths = ("d/", "é")
    assert banger(vm, "vm", "workspace", "sync", "split", *paths).returncode == 2
    whole = banger(vm, "vm", "workspace", "sync", "split", ".")
    assert whole.returncode == 5
    preferred = banger(vm, "vm", "workspace", "sync", "split", *paths, "--prefer", "host")
    assert preferred.returncode == 0
    done = banger(vm, "vm", "workspace", "sync", "split", "--dry-run", "--json")
    assert done.returncode == 5 and json.loads(done.stdout)["host"]["written"] == []
