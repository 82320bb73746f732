"""A driver and a network that the product does not know: a folder and a row in a table each."""

from __future__ import annotations

from typing import Any

import pytest

from banger.client import Client
from banger.config import load_settings
from banger.errors import InvalidRequest, KernelUnfit
from banger.vmm.qemu.settings import QemuSettings
from tests.support.installations import Installation
from tests.support.toys.network.kind import ADDRESS
from tests.support.vms import TINY_IMAGE

REQUEST: dict[str, Any] = {
    "name": "toy",
    "image": TINY_IMAGE,
    "vcpu": 1,
    "memory_mib": 256,
    "disk_mib": 1024,
}
PLAIN = {"name": "plain", "driver": "plain", "network": "none"}


@pytest.mark.parametrize("kind", ["driver", "network"])
def test_a_kind_that_is_in_no_table_is_refused(own: Installation, kind: str) -> None:
    """C7: with those that there are; nothing is made."""
    own.do("daemon", "restart")
    with Client(own.layout) as client, pytest.raises(InvalidRequest, match=r"qemu|user"):
        client.call("vm.create", REQUEST | {kind: "toy"})
    assert own.vms() == []


def test_a_row_in_each_table_is_all_that_a_vm_needs(
    own: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B3, E4: made, stopped, started, forked and deleted with the real agent, by the engine as it
    is; what was started is ended by the kind that started it."""
    program = load_settings(own.layout.config_file, own.environ).of(QemuSettings).binary
    # Not in the file: the command line does not know the toys.
    own.environ["BANGER_TOY_BINARY"] = program
    monkeypatch.setenv("BANGER_TOY_BINARY", program)
    with own.special_daemon(program="tests.support.toys"):
        with Client(own.layout) as client:
            client.call("vm.create", REQUEST | {"driver": "toy", "network": "toy"})
            with pytest.raises(KernelUnfit, match="CONFIG_PLAIN"):
                client.call("vm.create", REQUEST | PLAIN)
        made = own.vm("toy")
        assert (made["driver"], made["network"], made["guest_address"]) == ("toy", "toy", ADDRESS)
        assert ADDRESS in own.exec("toy", "cat", "/proc/net/fib_trie", status=0).text
        own.do("vm", "stop", "toy")
        own.do("vm", "start", "toy")
        forked = own.do("vm", "fork", "toy", "-q").text
        assert ADDRESS in own.exec(forked, "cat", "/proc/net/fib_trie", status=0).text
        assert own.vm(forked)["driver"] == "toy"
        for vm in ("toy", forked):
            own.do("vm", "delete", vm)
        assert own.vm_processes() == []
        assert own.json("gc", "--dry-run") == []
