"""kill -9 of the daemon around every transaction of every verb (hazards B3, B4, B5, B6).

Each round: a daemon that will die at the N-th transaction, one verb through the command line,
then the next command, which starts an ordinary daemon that recovers. N goes up until the
verb gets through, so a new step is covered without a change here. A death before a transaction
is one after the effect that it records; a death after it is one before the next effect.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from tests.support.installations import Ended, Installation, wait_for
from tests.support.vms import TINY

SMALL = (*TINY, "--network", "none")
SHAPE = (TINY[1], *TINY[2:], "--network", "none")
"""The same as `template build` takes it."""
TEMPLATES = {"BANGER_TEMPLATE_ENABLED": "on"}
SIDES = ("--die-before", "--die-after")


def die_everywhere(
    banger: Installation, verb: Callable[[], Ended], *, alternate: bool = False, step: int = 1
) -> Iterator[Ended]:
    """Yield after each death, with what the client said; return when the verb gets through.

    Each N twice, before and after the transaction; with `alternate` one or the other in turn,
    for verbs whose every round needs a guest that has booted.
    """
    for number in itertools.count(1, step):
        for side in SIDES[number % 2 :][:1] if alternate else SIDES:
            banger.stop_daemon()
            with banger.special_daemon(side, str(number)) as daemon:
                ended = verb()
                # `run` passes the command's status on, even if it could not delete its VM.
                died = bool(ended.status or "went away" in ended.err)
                if died:
                    daemon.wait(60)
            if not died:
                assert number > step, f"nothing was ever written: {ended}"
                return
            yield ended


def require_sound(banger: Installation) -> None:
    """Check that records and machine agree: no process, directory or row without the others."""
    records = {vm["id"]: vm for vm in banger.vms()}
    assert banger.json("gc", "--dry-run") == []
    with banger.database() as connection:
        assert connection.execute("SELECT * FROM operations").fetchall() == []
        assert connection.execute("SELECT * FROM journal").fetchall() == []
        owners = {row[0] for row in connection.execute("SELECT vm_id FROM handles")}
    layout = banger.layout
    live = {name for name, vm in records.items() if vm["state"] == "running"}
    assert {path.name for path in layout.vms.glob("*")} == set(records)
    assert {path.name for path in (layout.runtime / "vms").glob("*")} == live
    assert owners == live
    assert bool(banger.vm_processes()) == bool(live)
    assert not list(layout.scratch.glob("*")) and not list(layout.staging.glob("*"))


def states(banger: Installation) -> list[str]:
    """Return the state of each VM."""
    return [vm["state"] for vm in banger.vms()]


def test_death_during_create(own: Installation) -> None:
    """B5: a VM whose making was cut short is gone, or is whole; its name is free, or taken."""
    for ended in die_everywhere(
        own, lambda: own.run("vm", "create", "--name", "one", *SMALL, "--no-start")
    ):
        assert ended.status == 7, ended
        require_sound(own)
        assert states(own) in ([], ["created"])
        own.delete_all()
    require_sound(own)
    own.do("vm", "start", "one")
    assert own.exec("one", "echo", "fine", status=0).text == "fine"


def test_death_during_start(own: Installation) -> None:
    """B4, B5: no VMM and no network without a record; the VM is stopped, or runs."""
    name = own.do("vm", "create", *TINY, "--no-start").text
    for ended in die_everywhere(own, lambda: own.run("vm", "start", name)):
        assert ended.status == 7, ended
        require_sound(own)
        assert states(own) in (["created"], ["stopped"], ["running"])
        if states(own) == ["running"]:
            assert own.exec(name, "echo", "fine", status=0).text == "fine"
            own.do("vm", "kill", name)
    assert own.exec(name, "echo", "fine", status=0).text == "fine"


def test_death_during_run(own: Installation) -> None:
    """B5: `run --rm` leaves nothing, whether its VM was being made, started or used."""
    for ended in die_everywhere(
        own, lambda: own.run("vm", "run", "--rm", *SMALL, "--", "true"), alternate=True, step=5
    ):
        # 0: the command had ended; it was the deletion that failed, and it said so.
        assert ended.status in (0, 125) and "went away" in ended.err, ended
        require_sound(own)
        assert states(own) == []


def test_death_during_clone(own: Installation) -> None:
    """A9, B5, D2: a clone that its agent has not confirmed is gone, with all that it is made of."""
    own.environ |= TEMPLATES
    own.do("template", "build", *SHAPE)
    for ended in die_everywhere(own, lambda: own.run("vm", "create", "--name", "one", *SMALL)):
        assert ended.status == 7, ended
        require_sound(own)
        assert states(own) in ([], ["running"])
        own.delete_all()
    assert own.vm("one")["template"] == own.json("template", "list")[0]["key"]
    assert own.exec("one", "echo", "fine", status=0).text == "fine"


def test_death_during_template_build(own: Installation) -> None:
    """A9, B5, D9: no half of a template, and nothing of the VM that was to become it."""
    own.environ |= TEMPLATES
    build = die_everywhere(
        own, lambda: own.run("template", "build", *SHAPE), alternate=True, step=3
    )
    for ended in build:
        assert ended.status == 7, ended
        require_sound(own)
        assert own.vms() == [] and own.json("template", "list") == []
    require_sound(own)
    assert len(own.json("template", "list")) == 1


def test_death_during_stop(own: Installation) -> None:
    """A1, B5: a stop that was begun is completed, with its flush."""
    name = own.do("vm", "create", *SMALL).text
    numbers = itertools.count()

    def write_and_stop() -> Ended:
        own.exec(name, "sh", "-c", f"echo {next(numbers)} >>/srv/log", status=0)
        return own.run("vm", "stop", name)

    for ended in die_everywhere(own, write_and_stop, alternate=True):
        assert ended.status == 7, ended
        wait_for(lambda: states(own) != ["stopping"], "the stop to be completed")
        require_sound(own)
        assert states(own) in (["stopped"], ["running"])
        own.do("vm", "start", name)
    assert states(own) == ["stopped"]
    own.do("vm", "start", name)
    written = own.exec(name, "cat", "/srv/log", status=0).text.split()
    assert written == [str(number) for number in range(next(numbers))]


def test_death_during_kill(own: Installation) -> None:
    """B5: a kill that was begun is completed."""
    name = own.do("vm", "create", *SMALL).text
    for ended in die_everywhere(own, lambda: own.run("vm", "kill", name), alternate=True):
        assert ended.status == 7, ended
        require_sound(own)
        assert states(own) in (["stopped"], ["running"])
        own.do("vm", "start", name)
    assert states(own) == ["stopped"]


def test_death_during_delete(own: Installation) -> None:
    """B5: a delete that was begun is completed, also of a VM that runs."""
    own.do("vm", "create", "--name", "one", *SMALL)
    for _ in die_everywhere(own, lambda: own.run("vm", "delete", "one"), alternate=True):
        require_sound(own)
        if not own.vms():
            own.do("vm", "create", "--name", "one", *SMALL)
    assert own.vms() == []


def test_death_during_recovery(own: Installation) -> None:
    """B5: whoever dies while it completes a delete leaves that to the next one."""
    for number in itertools.count(1):
        own.do("vm", "create", "--name", "one", *SMALL, "--no-start")
        own.stop_daemon()
        # Its directory is gone, and that is not written down yet.
        with own.special_daemon("--die-before", "10") as daemon:
            own.run("vm", "delete", "one", status=7)
            daemon.wait(60)
        assert not list(own.layout.vms.glob("*"))
        with own.special_daemon("--die-before", str(number)) as successor:
            died = successor.poll() is not None
        require_sound(own)
        assert own.vms() == []
        if not died:
            break
    assert number > 3, "the recovery wrote next to nothing"
