"""Sessions in real guests: they go on when the daemon dies, and with snapshots and forks (B11, D6).

What sessions are in general is in `tests/component/sessions`; here is what takes a machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.installations import Installation, finish, read_line, wait_for
from tests.support.vms import TINY

ECHO = 'while read a; do echo "got $a"; done; exit 5'


@pytest.fixture(scope="module")
def small(banger: Installation) -> Iterator[str]:
    """A VM that these tests may restart and put back."""
    name = banger.do("vm", "create", *TINY).text
    yield name
    banger.do("vm", "delete", name)


@pytest.fixture
def vm(banger: Installation, small: str) -> Iterator[str]:
    """The VM, running, without sessions before and after."""
    banger.do("vm", "start", small)
    assert banger.json("vm", "session", "list", small) == []
    yield small
    if banger.state(small) == "running":
        names = [each["name"] for each in banger.json("vm", "session", "list", small)]
        for name in names:
            banger.do("vm", "session", "delete", "--force", small, name)


def start(banger: Installation, vm: str, name: str, script: str) -> None:
    words = ("vm", "session", "start", "--name", name, vm, "--", "sh", "-c", script)
    assert banger.do(*words).text == name


def logs(banger: Installation, vm: str, name: str) -> str:
    return banger.do("vm", "logs", vm, name).text


def send(banger: Installation, vm: str, name: str, line: str) -> None:
    """Send a line, and wait for its answer."""
    banger.do("vm", "session", "send", vm, name, line)
    wait_for(lambda: f"got {line}" in logs(banger, vm, name), f"the answer to {line}")


def test_a_session_outlives_the_daemon_and_its_follower_goes_on(
    banger: Installation, vm: str
) -> None:
    """B11: the same process, and every line once; the follower finds the next daemon by itself."""
    start(banger, vm, "one", ECHO)
    before = banger.json("vm", "session", "show", vm, "one")
    follower = banger.start("vm", "session", "logs", "-f", vm, "one")
    for number in range(3):
        banger.do("vm", "session", "send", vm, "one", str(number))
        assert read_line(follower) == f"got {number}\n".encode()
        banger.kill_daemon()
    after = banger.json("vm", "session", "show", vm, "one")
    assert (after["pid"], after["started_at"]) == (before["pid"], before["started_at"])
    waiter = banger.start("vm", "wait", vm, "one")
    banger.do("vm", "session", "send", "--eof", vm, "one", "last")
    assert finish(follower, status=0).out == b"got last\n"
    finish(waiter, status=5)
    assert logs(banger, vm, "one") == "got 0\ngot 1\ngot 2\ngot last"


def test_a_fork_has_its_own_and_a_clone_of_the_template_none(banger: Installation, vm: str) -> None:
    """D6, D8: copies of the process, its input and its output; what one does the other does not."""
    start(banger, vm, "one", ECHO)
    send(banger, vm, "one", "both")
    fork = banger.do("vm", "fork", "--name", "copy", vm).text
    clone = banger.do("vm", "create", *TINY).text
    try:
        assert banger.json("vm", "session", "list", clone) == []
        send(banger, fork, "one", "fork")
        send(banger, vm, "one", "base")
        assert logs(banger, fork, "one") == "got both\ngot fork"
        assert logs(banger, vm, "one") == "got both\ngot base"
        banger.do("vm", "session", "kill", fork, "one")
        assert banger.run("vm", "wait", fork, "one").status == 137
        assert banger.json("vm", "session", "show", vm, "one")["state"] == "running"
    finally:
        banger.do("vm", "delete", fork, clone)


def test_a_snapshot_keeps_sessions_as_they_were(banger: Installation, vm: str) -> None:
    """B11: put back, the session knows nothing of what came later, and takes input again."""
    start(banger, vm, "one", ECHO)
    send(banger, vm, "one", "before")
    banger.do("vm", "snapshot", "create", vm, "early")
    try:
        send(banger, vm, "one", "later")
        start(banger, vm, "two", ECHO)
        banger.do("vm", "snapshot", "restore", vm, "early")
        names = [each["name"] for each in banger.json("vm", "session", "list", vm)]
        assert names == ["one"]
        send(banger, vm, "one", "again")
        assert logs(banger, vm, "one") == "got before\ngot again"
    finally:
        banger.do("vm", "snapshot", "delete", vm, "early")


def test_a_kill_reaches_all_that_a_session_has_started(banger: Installation, vm: str) -> None:
    """H3: also what has made itself a session and a group of its own."""
    start(banger, vm, "one", "setsid sleep 7777 & echo up; wait")
    count = "grep -lsx sleep /proc/[0-9]*/comm | wc -l"

    def sleepers() -> int:
        return int(banger.exec(vm, "sh", "-c", count, status=0).text)

    wait_for(lambda: sleepers() == 1, "the sleeper")
    banger.do("vm", "session", "kill", vm, "one")
    wait_for(lambda: sleepers() == 0, "the sleeper's end")


def test_detached_commands_are_sessions(banger: Installation, vm: str) -> None:
    """Output and status are there afterwards; `vm run -d` prints both names on a line."""
    name = banger.do("vm", "exec", "-d", vm, "--", "sh", "-c", "echo out; echo err >&2").text
    assert banger.run("vm", "wait", vm, name).status == 0
    ended = banger.do("vm", "logs", vm, name)
    assert (ended.text, ended.err) == ("out", "err\n")
    words = banger.do("vm", "run", "-d", *TINY, "--", "sh", "-c", "pwd; exit 4").text.split()
    try:
        assert banger.run("vm", "wait", *words).status == 4
        assert banger.do("vm", "logs", *words).text == "/root"
    finally:
        banger.do("vm", "delete", words[0])


def test_a_vm_is_waited_for(banger: Installation, vm: str) -> None:
    """Its sessions end with it; whoever waits for either is woken (H2)."""
    start(banger, vm, "one", ECHO)
    for_vm = banger.start("vm", "wait", vm)
    for_session = banger.start("vm", "wait", vm, "one")
    wait_for(lambda: len(banger.json("operations", "list")) >= 2, "both wait")
    banger.do("vm", "stop", vm)
    assert finish(for_vm, status=0).text == "stopped"
    assert finish(for_session, status=None).status != 0
    assert banger.do("vm", "wait", vm).text == "stopped"
    ended = banger.run("vm", "session", "list", vm)
    assert ended.status == 5 and f"banger vm start {vm}" in ended.err
