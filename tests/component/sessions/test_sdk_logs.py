"""The Python clients read a session's output over daemons that follow each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.errors import OutcomeUnknown
from tests.component.sdk.conftest import Box as Vm
from tests.component.sessions.conftest import Box, Daemons, hold


def test_logs_are_followed_over_a_death_of_the_daemon(
    box: Box, daemons: Daemons, vm: Vm, short_dir: Path
) -> None:
    """H9: the next daemon goes on where the last was cut off; nothing is twice."""
    go_on = short_dir / "go-on"
    box.start("job", f"echo one; {hold(go_on)}; echo two")
    pieces = vm.read(vm.do("sessions.get", "job").logs(follow=True))
    assert next(pieces) == (1, b"one\n")
    daemons.replace()
    go_on.touch()
    assert list(pieces) == [(1, b"two\n")]


def test_an_attachment_goes_on_after_a_death_of_the_daemon(
    box: Box, daemons: Daemons, vm: Vm, short_dir: Path
) -> None:
    """H2, H9: in both directions; nothing is twice, and nothing is missing."""
    go_on = short_dir / "go-on"
    box.start("job", f"echo one; {hold(go_on)}; echo two; read line; echo got $line; exit 3")
    with vm.open(vm.wait(vm.do("sessions.get", "job").attach())) as attached:
        pieces = vm.read(attached)
        assert next(pieces) == (1, b"one\n")
        daemons.replace()
        go_on.touch()
        assert next(pieces) == (1, b"two\n")
        vm.wait(attached.write("hello\n"))
        assert list(pieces) == [(1, b"got hello\n")]
        assert attached.returncode == vm.wait(attached.wait()) == 3


def test_what_came_while_an_end_was_waited_for_is_kept(
    box: Box, daemons: Daemons, vm: Vm, short_dir: Path
) -> None:
    """H2, H9: also over a death of the daemon."""
    go_on = short_dir / "go-on"
    box.start("job", f"echo one; {hold(go_on)}; echo two; read line; echo got $line; exit 3")
    job = vm.do("sessions.get", "job")
    vm.wait(job.send("hello\n"))
    with vm.open(vm.wait(job.attach(stdin=False))) as attached:
        daemons.replace()
        go_on.touch()
        assert vm.wait(attached.wait()) == 3
        kept = b"".join(data for _, data in vm.read(attached))
        assert kept == b"one\ntwo\ngot hello\n"


def test_the_outcome_of_a_command_is_unknown_when_the_daemon_dies(daemons: Daemons, vm: Vm) -> None:
    """H1: nobody is told that a command succeeded of which that is not known."""
    with vm.open(vm.do("popen", ["sh", "-c", "echo one; exec sleep 1000"])) as process:
        assert next(vm.read(process)) == (1, b"one\n")
        daemons.kill()
        with pytest.raises(OutcomeUnknown):
            vm.wait(process.wait())
