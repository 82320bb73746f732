"""What the Python clients send to a session when its daemon dies is kept, or told to be lost."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Any

import pytest

from banger.errors import OutcomeUnknown
from tests.component.daemon.running import wait_until
from tests.component.sdk.conftest import Box as Vm
from tests.component.sessions.conftest import Daemons, hold


@pytest.mark.parametrize("is_dead", [False, True], ids=["unread", "dead"])
def test_what_is_sent_at_a_death_of_the_daemon_is_kept_or_told_to_be_lost(
    daemons: Daemons, vm: Vm, short_dir: Path, is_dead: bool
) -> None:
    """H2, H7: to a daemon that reads it no more, or after the end, of which nobody has heard."""
    go_on, attached_again = short_dir / "go-on", short_dir / "attached-again"
    held, held_again = f"echo one; {hold(go_on)}", f"echo two; {hold(attached_again)}"

    def start(name: str, script: str, **options: Any) -> tuple[Any, Any]:
        made = vm.do("sessions.start", ["sh", "-c", script], name=name, stdin=True, **options)
        return made, blocks.enter_context(vm.open(vm.wait(made.attach())))

    def read(attached: Any) -> list[object]:
        """Return what comes, up to the end, and what is raised on the way."""
        found: list[object] = []
        try:
            for _, data in vm.read(attached):
                found.append(data)
        except OutcomeUnknown:
            return [*found, OutcomeUnknown, *read(attached)]
        return found

    with contextlib.ExitStack() as blocks:
        ended, taken = start("taken", f"read line; {held}; echo two; exit 3")
        vm.wait(taken.write("x\n"))
        taken.send_signal(signal.SIGWINCH)
        attached = {
            "write": start("write", f"{held}; echo two")[1],
            "signal": start("signal", f"{held}; echo two")[1],
            "size": start("size", f"{held}; {held_again}; stty size", terminal=(24, 80))[1],
        }
        closed, closing = start("closed", f"{held}; echo two; read line; echo got $line")
        for each in (taken, *attached.values(), closing):
            assert next(vm.read(each))

        daemons.replace() if is_dead else daemons.stop()
        told: list[object] = []
        try:
            vm.wait(attached["write"].write("x\n"))
        except OutcomeUnknown:  # one client learns it at once
            told = [OutcomeUnknown]
        attached["signal"].send_signal(signal.SIGTERM)
        attached["size"].resize(30, 99)
        closing.close_input()
        if not is_dead:
            daemons.replace()
        go_on.touch()

        wait_until(lambda: vm.wait(ended.show())["state"] == "ended", "the end of a session")
        assert read(taken) == [b"two\n"] and taken.returncode == 3
        assert told + read(attached["write"]) == [OutcomeUnknown, b"two\n"]
        assert read(attached["signal"]) == [OutcomeUnknown, b"two\n"]
        shown, pieces = b"", vm.read(attached["size"])
        while b"two" not in shown:
            shown += next(pieces)[1]
        attached_again.touch()
        assert b"30 99" in b"".join(data for _, data in pieces)
        pieces = vm.read(closing)
        assert next(pieces) == (1, b"two\n")
        vm.wait(closed.send("hello\n"))
        assert next(pieces) == (1, b"got hello\n")
