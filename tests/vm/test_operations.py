"""What is in progress, seen and cancelled from another terminal."""

from __future__ import annotations

from typing import Any

from tests.support.installations import Installation, finish, wait_for
from tests.support.vms import TINY


def find(own: Installation, method: str) -> dict[str, Any] | None:
    return next((o for o in own.json("operations", "list") if o["method"] == method), None)


def test_a_create_that_is_cancelled(own: Installation) -> None:
    """C5, H6: found by the id that `show` tells; undone, and its client learns why it ended."""
    creating = own.start("vm", "create", "--name", "one", *TINY, "--network", "none")
    wait_for(lambda: (find(own, "vm.create") or {}).get("stage") == "boot", "the boot")
    found = find(own, "vm.create")
    assert found is not None
    assert found["vm"] == "one"
    assert found["cancellable"]
    assert own.vm("one")["operation"] == found["id"]
    busy = own.run("vm", "stop", "one", status=5)
    assert found["id"] in busy.err
    own.do("operations", "cancel", found["id"])
    ended = finish(creating, status=130)
    assert "vm.create was cancelled." in ended.err
    assert own.vms() == []
    assert own.json("gc", "--dry-run") == []
    own.run("operations", "cancel", found["id"], status=4)


def test_a_command_that_is_cancelled(own: Installation) -> None:
    """H3: the guest's program is gone."""
    own.do("vm", "create", "--name", "one", *TINY, "--network", "none")
    running = own.start("vm", "exec", "one", "--", "sleep", "7000")
    wait_for(lambda: find(own, "vm.exec"), "the command")
    own.do("operations", "cancel", (find(own, "vm.exec") or {})["id"])
    finish(running, status=130)
    own.exec("one", "sh", "-c", "! grep -qs sleep /proc/[0-9]*/comm", status=0)
