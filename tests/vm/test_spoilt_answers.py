"""Whatever Firecracker answers: an error of ours, and nothing is left of what was begun.

What else it may say, in which pieces and how late, is tried with the client alone
(`tests/component/vmm/test_firecracker_client.py`).
"""

from __future__ import annotations

import os

import pytest

from banger.client import Client
from banger.errors import BootFailed, VmmFailed
from tests.support.firecracker.program import INSTEAD
from tests.support.firecracker.wire import render_answer
from tests.support.installations import Installation
from tests.support.stand_in import folder_of
from tests.support.vms import TINY
from tests.support.worlds import SHAPE

SPOILT = (
    b"",
    render_answer(200, b'{"id":["x"],"state":{}}'),
    render_answer(400, b'{"fault_message":"no"}'),
)


@pytest.mark.parametrize("own", ["firecracker"], indirect=True)
def test_whatever_it_answers_a_verb_fails_and_leaves_nothing(own: Installation) -> None:
    """E2, C5, B3: a start, a clone, a pause, a snapshot; the VM that there is goes on."""
    own.do("vm", "create", "--name", "one", *TINY)
    with Client(own.layout, autostart=False) as client:
        one, processes = own.vm("one"), own.vm_processes()
        verbs = (
            ("vm.create", {**SHAPE, "name": "two", "template": False}),
            ("vm.create", {**SHAPE, "name": "three"}),
            ("vm.pause", {"ref": "one"}),
            ("snapshot.create", {"ref": "one", "name": "first"}),
        )
        for said in SPOILT:
            (folder_of(own.layout) / INSTEAD).write_bytes(said)
            for method, params in verbs:
                with pytest.raises((BootFailed, VmmFailed)):
                    client.call(method, params)
            (folder_of(own.layout) / INSTEAD).unlink()
            assert own.vm_processes() == processes
            assert own.json("gc", "--dry-run") == []
            for name in ("two", "three"):
                assert client.call("vm.show", {"ref": name})["state"] == "error"
                client.call("vm.delete", {"ref": name})
            assert os.listdir(own.layout.vms) == [one["id"]]
            assert client.call("snapshot.list", {"ref": "one"}) == []
            client.call("vm.resume", {"ref": "one"})
            assert own.exec("one", "echo", "here", status=0).text == "here"
        assert own.vm("one")["pid"] == one["pid"]
