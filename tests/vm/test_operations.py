"""What is in progress, seen and cancelled from another terminal."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from banger.client import Client
from tests.support.installations import Installation, finish, read_line, wait_for
from tests.support.vms import TINY


def find(own: Installation, method: str) -> dict[str, Any] | None:
    return next((o for o in own.json("operations", "list") if o["method"] == method), None)


def test_a_create_that_is_cancelled(own: Installation) -> None:
    """C5, H6: found by the id that `show` tells; undone, and its client learns why it ended."""
    creating = own.start("vm", "create", "--name", "one", *TINY, "--no-template")
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


@pytest.mark.parametrize("own", ["firecracker"], indirect=True)
def test_what_happens_to_a_vm_is_told(own: Installation) -> None:
    """H9: whoever follows learns of the end at once, and its log ends."""
    own.do("vm", "create", "--name", "one", *TINY, "--network", "none", "--no-start")
    with Client(own.layout) as client, contextlib.closing(client.stream("vm.watch", {})) as every:
        own.do("vm", "start", "one")
        own.do("vm", "pause", "one")
        own.do("vm", "resume", "one")
        with Client(own.layout) as other:
            one = other.stream("vm.watch", {"ref": "one"})
        own.layout.vm_console_log(own.vm("one")["id"]).write_text("a line of the console\n")
        following = own.start("vm", "logs", "-f", "one")
        assert read_line(following)
        own.do("vm", "kill", "one")
        finish(following, status=0)
        own.do("vm", "delete", "one")
        with contextlib.closing(one):
            events = [json.loads(line) for _, data in one for line in data.splitlines()]
        assert [event["state"] for event in events] == ["stopping", "stopped", None]
        assert events[-1]["kind"] == "deleted"
        seen = b""
        for _, data in every:
            seen += data
            if b'"deleted"' in seen:
                break
        kept = own.run("events", "--json", status=0).out.splitlines()
        assert [json.loads(line)["state"] for line in kept[-7:]] == [
            json.loads(line)["state"] for line in seen.splitlines()
        ]
        states = [json.loads(line)["state"] for line in seen.splitlines()]
        paused = ["paused", "running"]
        assert states == ["starting", "running", *paused, "stopping", "stopped", None]
