"""kill -9 of the daemon around every transaction of every verb (hazards B3, B4, B5, B6).

Each round: a daemon that will die at the N-th transaction, one verb through the command line,
then the next command, which starts an ordinary daemon that recovers. N goes up until the
verb gets through, so a new step is covered without a change here. A death before a transaction
is one after the effect that it records; a death after it is one before the next effect.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

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
        rows = connection.execute("SELECT id, spec FROM vms").fetchall()
        origins = {row[0]: str(json.loads(row[1])["origin"]) for row in rows}
    layout = banger.layout
    live = {name for name, vm in records.items() if vm["state"] in ("running", "paused")}
    assert {path.name for path in layout.vms.glob("*")} == set(records)
    assert {path.name for path in (layout.runtime / "vms").glob("*")} == live
    assert owners == live
    assert bool(banger.vm_processes()) == bool(live)
    named = {s["id"] for name in records for s in own_snapshots(banger, name)}
    used = {origins[name].removeprefix("snapshots/") for name in live if "snap" in origins[name]}
    assert {path.name for path in layout.snapshots.glob("*")} == named | used
    assert not list(layout.scratch.glob("*")) and not list(layout.staging.glob("*"))


def states(banger: Installation) -> list[str]:
    """Return the state of each VM."""
    return [vm["state"] for vm in banger.vms()]


def own_snapshots(banger: Installation, vm: str) -> list[dict[str, Any]]:
    """Return the snapshots of a VM that have a name."""
    listed: list[dict[str, Any]] = banger.json("vm", "snapshot", "list", vm)
    return listed


def make_vm_with_data(banger: Installation) -> str:
    """Return a VM that has something in its memory and on its disk, and runs a program."""
    name = banger.do("vm", "create", "--name", "one", *SMALL).text
    write = "head -c 1M /dev/urandom | tee /dev/shm/r /srv/r | sha256sum | tee /dev/shm/sum"
    program = "sleep 7000 >/dev/null 2>&1 </dev/null & echo $! >/dev/shm/pid"
    banger.exec(name, "sh", "-c", f"{write} >/dev/null; {program}", status=0)
    return name


def require_data(banger: Installation, name: str) -> None:
    """Check that a VM that runs still has them."""
    look = "for d in /dev/shm /srv; do sha256sum <$d/r; done; cat /dev/shm/sum"
    alive = "kill -0 $(cat /dev/shm/pid)"
    sums = banger.exec(name, "sh", "-c", f"{look}; {alive}", status=0).text.splitlines()
    assert len(sums) == 3 and len(set(sums)) == 1, sums


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


def test_death_during_restart(own: Installation) -> None:
    """A1, B5: a restart that was begun is completed: what was written is there, and the VM runs."""
    name = own.do("vm", "create", *SMALL).text
    numbers = itertools.count()
    boots = {own.boot_id(name)}

    def write_and_restart() -> Ended:
        own.exec(name, "sh", "-c", f"echo {next(numbers)} >>/srv/log", status=0)
        return own.run("vm", "restart", name)

    for ended in die_everywhere(own, write_and_restart, alternate=True, step=4):
        assert ended.status == 7, ended
        wait_for(lambda: states(own) == ["running"], "the restart to be completed")
        require_sound(own)
        boots.add(own.boot_id(name))
    boots.add(own.boot_id(name))
    assert len(boots) > 3, "it was not restarted"
    written = own.exec(name, "cat", "/srv/log", status=0).text.split()
    assert written == [str(number) for number in range(next(numbers))]


def test_death_during_set(own: Installation) -> None:
    """B5: all of a change, or nothing of it."""
    own.do("vm", "create", "--name", "one", *SMALL, "--no-start")
    change = ("--name", "two", "--vcpu", "2", "--label", "a=b")
    for ended in die_everywhere(own, lambda: own.run("vm", "set", own.vms()[0]["id"], *change)):
        assert ended.status == 7, ended
        require_sound(own)
        (vm,) = own.vms()
        assert (vm["name"], vm["vcpu"], vm["labels"]) in (("one", 1, {}), ("two", 2, {"a": "b"}))
        own.do("vm", "set", vm["id"], "--name", "one", "--vcpu", "1", "--no-label", "a")
    assert own.vm("two")["vcpu"] == 2


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


def test_death_during_pause(own: Installation) -> None:
    """B5, D4: a VM that was about to be paused goes on with what it had, or is paused."""
    name = make_vm_with_data(own)
    for ended in die_everywhere(own, lambda: own.run("vm", "pause", name)):
        assert ended.status == 7, ended
        require_sound(own)
        assert states(own) in (["running"], ["paused"])
        own.do("vm", "resume", name)
        require_data(own, name)
    assert states(own) == ["paused"]


def test_death_during_resume(own: Installation) -> None:
    """B5, D4: a VM that was about to go on does, or still is paused."""
    name = make_vm_with_data(own)
    own.do("vm", "pause", name)
    for ended in die_everywhere(own, lambda: own.run("vm", "resume", name)):
        assert ended.status == 7, ended
        require_sound(own)
        assert states(own) in (["running"], ["paused"])
        if states(own) == ["running"]:
            require_data(own, name)
            own.do("vm", "pause", name)
    assert states(own) == ["running"]
    require_data(own, name)


def test_death_during_snapshot(own: Installation) -> None:
    """A9, B5: the VM goes on; there is no snapshot, or a whole one."""
    name = make_vm_with_data(own)
    made = 0
    for ended in die_everywhere(
        own, lambda: own.run("vm", "snapshot", "create", name, "first"), alternate=True
    ):
        assert ended.status == 7, ended
        require_sound(own)
        assert states(own) == ["running"]
        require_data(own, name)
        if own_snapshots(own, name):
            made += 1
            own.do("vm", "snapshot", "restore", name, "first")
            require_data(own, name)
            own.do("vm", "snapshot", "delete", name, "first")
    assert made <= 2, "one that was not confirmed was kept"
    own.do("vm", "snapshot", "restore", name, "first")
    require_data(own, name)
    require_sound(own)


def test_death_during_snapshot_of_a_paused_vm(own: Installation) -> None:
    """A9, B5: it stays paused, whatever became of the snapshot."""
    name = make_vm_with_data(own)
    own.do("vm", "pause", name)
    for ended in die_everywhere(
        own, lambda: own.run("vm", "snapshot", "create", name, "first"), alternate=True, step=3
    ):
        assert ended.status == 7, ended
        require_sound(own)
        assert states(own) == ["paused"]
        if own_snapshots(own, name):
            own.do("vm", "snapshot", "delete", name, "first")
    own.do("vm", "resume", name)
    require_data(own, name)


def test_death_during_restore(own: Installation) -> None:
    """A9, B5: it runs as before, or from the snapshot, or is stopped and can be put back."""
    name = make_vm_with_data(own)
    own.do("vm", "snapshot", "create", name, "first")
    spoil = ("sh", "-c", "echo late >/dev/shm/late; echo late >/srv/late")

    def write_and_restore() -> Ended:
        own.exec(name, *spoil, status=0)
        return own.run("vm", "snapshot", "restore", name, "first")

    for ended in die_everywhere(own, write_and_restore, alternate=True):
        assert ended.status == 7, ended
        require_sound(own)
        assert states(own) in (["running"], ["stopped"])
        if states(own) == ["running"]:
            require_data(own, name)
            left = own.exec(name, "cat", "/dev/shm/late", "/srv/late").text
            assert left in ("", "late\nlate"), "memory and disk are not of one moment"
        else:
            own.do("vm", "snapshot", "restore", name, "first")
            require_data(own, name)
    require_data(own, name)
    assert own.exec(name, "cat", "/dev/shm/late").status == 1


def test_death_during_fork(own: Installation) -> None:
    """A9, B5, D2: the source goes on; a fork that was not ready is gone with all that it had."""
    name = make_vm_with_data(own)
    verb = ("vm", "fork", name, "-n", "2", "--name", "copy")
    for ended in die_everywhere(own, lambda: own.run(*verb), alternate=True, step=3):
        assert ended.status == 7, ended
        require_sound(own)
        assert set(states(own)) == {"running"}
        for vm in own.vms():
            require_data(own, vm["name"])
            if vm["name"] != name:
                hostname = own.exec(vm["name"], "cat", "/proc/sys/kernel/hostname", status=0)
                assert hostname.text == vm["name"]
                own.do("vm", "delete", vm["name"])
        require_sound(own)
    assert len(own.vms()) == 3
    for vm in own.vms():
        require_data(own, vm["name"])


def deaths_while_armed(
    own: Installation, before: Callable[[], object], verb: Callable[[], object], *, step: int = 1
) -> Iterator[None]:
    """As `die_everywhere`, but `before` is done by the same daemon, and without harm.

    When the daemon has lived through `verb` this returns.
    """
    trigger = own.layout.state / "armed"
    for number in itertools.count(1, step):
        own.stop_daemon()
        side = SIDES[number // step % 2]
        with own.special_daemon(side, str(number), "--armed-by", str(trigger)) as daemon:
            before()
            trigger.touch()
            try:
                verb()
                wait_for(lambda: daemon.poll() or own.daemon_pid(), "a death, or an answer")
                died = daemon.poll() is not None
            finally:
                trigger.unlink()
        if not died:
            assert number > 1, "nothing was ever written"
            return
        yield


def fill(own: Installation) -> None:
    """Have the daemon that runs make a clone that waits."""
    own.do("vm", "run", "--rm", *SMALL, "--", "true")
    wait_for(lambda: "paused" in own.prepared().values(), "a clone to wait")


def use_pool(own: Installation) -> None:
    own.environ |= TEMPLATES | {"BANGER_TEMPLATE_POOL": "1"}
    own.do("template", "build", *SHAPE)


def test_death_during_fill(own: Installation) -> None:
    """B4, B5: nothing is left of a clone that nobody had asked for yet, finished or not."""
    use_pool(own)

    def use() -> Ended:
        return own.do("vm", "run", "--rm", *SMALL, "--", "true")

    def wait_for_fill() -> None:
        fate = lambda: own.daemon_pid() is None or "paused" in own.prepared().values()  # noqa: E731
        wait_for(fate, "a clone to wait, or a death")

    for _ in deaths_while_armed(own, use, wait_for_fill, step=4):
        require_sound(own)
        assert own.vms() == [] and own.prepared() == {}


def test_death_during_claim(own: Installation) -> None:
    """B5, D2: a VM that was claimed is whole, or is gone with its name."""
    use_pool(own)
    claim = lambda: own.run("vm", "create", "--name", "one", *SMALL)  # noqa: E731
    for _ in deaths_while_armed(own, lambda: fill(own), claim):
        require_sound(own)
        assert states(own) in ([], ["running"])
        if states(own):
            hostname = own.exec("one", "cat", "/proc/sys/kernel/hostname", status=0)
            assert hostname.text == "one"
        own.delete_all()
    assert own.exec("one", "echo", "fine", status=0).text == "fine"


def test_death_during_drain(own: Installation) -> None:
    """B5, C4: a clone that was being ended is gone, and the template can be used, or made anew."""
    use_pool(own)
    remove = lambda: own.run("template", "prune")  # noqa: E731
    for _ in deaths_while_armed(own, lambda: fill(own), remove, step=3):
        require_sound(own)
        assert own.vms() == [] and own.prepared() == {}
    assert own.json("template", "list") == [] and own.vm_processes() == []
