"""kill -9 of a VMM around every transaction of what starts and saves machines (B3, D3, D9).

As in `test_daemon_death`, but it is the youngest VMM that dies, and the daemon lives on: the verb
ends with an answer, what is left can be used, and nothing half-made stays.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from tests.crash.test_daemon_death import (
    SHAPE,
    SMALL,
    TEMPLATES,
    make_vm_with_data,
    own_snapshots,
    require_data,
    require_sound,
)
from tests.support.installations import Ended, Installation, wait_for
from tests.support.special_daemon import KILLED


def kill_everywhere(
    banger: Installation, verb: Callable[[], Ended], *, step: int = 1
) -> Iterator[tuple[Ended, bool]]:
    """Yield what the client said and whether a VMM was killed, for every `step`-th transaction.

    Returns when the verb gets through without reaching its transaction.
    """
    output = banger.layout.state / "special-daemon.out"
    for number in itertools.count(1, step):
        banger.stop_daemon()
        said = output.read_text() if output.exists() else ""
        with banger.special_daemon("--kill-vmm", str(number)):
            ended = verb()
        news = output.read_text().removeprefix(said)
        if KILLED not in news:
            assert number > step, f"nothing was ever written: {ended}"
            return
        yield ended, f"{KILLED}0" not in news


def settled_state(banger: Installation, name: str) -> str:
    """Return a VM's state once a VMM that has died was noticed."""
    alive = {"running", "paused"}
    wait_for(
        lambda: bool(banger.vm_processes(banger.vm(name)["id"])) == (banger.state(name) in alive),
        "the VMM's death to be noticed",
    )
    return banger.state(name)


def test_death_during_clone(own: Installation) -> None:
    """D3, B3: the VM boots instead, and says so; or it was ready, and has died since."""
    own.environ |= TEMPLATES
    own.do("template", "build", *SHAPE)
    fell_back = 0
    verb = ("vm", "create", "--name", "one", *SMALL)
    for ended, _ in kill_everywhere(own, lambda: own.run(*verb), step=2):
        assert ended.status == 0 or "did not become ready" in ended.err, ended
        fell_back += "booting instead" in ended.err
        if settled_state(own, "one") == "running":
            assert own.exec("one", "echo", "fine", status=0).text == "fine"
        require_sound(own)
        own.delete_all()
    assert fell_back
    assert own.exec("one", "echo", "fine", status=0).text == "fine"


def test_death_during_template_build(own: Installation) -> None:
    """A9, D9: no half of a template is left, and the next one is whole."""
    own.environ |= TEMPLATES
    failed = 0
    for ended, _ in kill_everywhere(own, lambda: own.run("template", "build", *SHAPE), step=3):
        require_sound(own)
        assert own.vms() == []
        assert len(own.json("template", "list")) == (ended.status == 0)
        failed += ended.status != 0
        if ended.status == 0:
            own.do("template", "prune")
    assert failed
    assert own.exec(own.do("vm", "create", *SMALL).text, "echo", "fine", status=0).text == "fine"


def test_death_during_snapshot(own: Installation) -> None:
    """A9, D9: there is no snapshot, or a whole one; the VM boots again."""
    name = make_vm_with_data(own)
    failed = 0
    verb = ("vm", "snapshot", "create", name, "first")
    for ended, killed in kill_everywhere(own, lambda: own.run(*verb), step=2):
        assert killed
        assert settled_state(own, name) in ("error", "stopped"), ended
        failed += ended.status != 0
        require_sound(own)
        assert len(own_snapshots(own, name)) == (ended.status == 0)
        if ended.status == 0:
            own.do("vm", "snapshot", "restore", name, "first")
            require_data(own, name)
            own.do("vm", "snapshot", "delete", name, "first")
        own.do("vm", "delete", name)
        assert make_vm_with_data(own) == name
    assert failed
    require_data(own, name)


def test_death_during_fork(own: Installation) -> None:
    """A9, B3: all forks or none; the VM that they are made of goes on, unless it was the one."""
    name = make_vm_with_data(own)
    failed = 0
    verb = ("vm", "fork", name, "-n", "2", "--name", "copy")
    for ended, killed in kill_everywhere(own, lambda: own.run(*verb), step=3):
        assert killed
        failed += ended.status != 0
        forks = {vm["name"] for vm in own.vms()} - {name}
        assert len(forks) == (0 if ended.status else 2), ended
        dead = [each for each in (name, *forks) if settled_state(own, each) != "running"]
        # Had it been a fork that was not ready, it is gone, and the verb has failed.
        assert len(dead) == 1 or (not dead and ended.status), (ended, dead)
        for each in {name, *forks} - set(dead):
            require_data(own, each)
        require_sound(own)
        own.delete_all()
        assert make_vm_with_data(own) == name
    assert failed
    assert len(own.vms()) == 3
