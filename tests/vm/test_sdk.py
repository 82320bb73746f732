"""The Python clients with real guests."""

from __future__ import annotations

import asyncio
from itertools import islice

import pytest

from banger import AsyncClient, Client, errors
from tests.support.installations import Installation
from tests.support.vms import TINY_IMAGE

SIZE = {"image": TINY_IMAGE, "memory": "256M", "disk": "1G", "vcpu": 1}


def test_a_block_has_a_guest_of_its_own(banger: Installation, tiny: str) -> None:
    client = Client()
    with client.vm(**SIZE, ttl=600) as vm:  # type: ignore[misc]  # one table for both tests
        assert vm.run(["cat", "/proc/sys/kernel/hostname"], check=True).stdout == f"{vm.name}\n"
        done = vm.run(["sh", "-c", "id -u; pwd; cat"], user="nobody", cwd="/tmp", input="in")
        assert done.stdout == "65534\n/tmp\nin"
        data = bytes(range(256)) * 4096
        assert vm.run(["cat"], input=data, text=False).stdout == data
        with pytest.raises(errors.DeadlineExceeded):
            vm.run(["sleep", "1000"], timeout=0.5)
        assert "sleep" not in vm.run(["sh", "-c", "cat /proc/[0-9]*/comm"]).stdout
        vm.write("/root/a", "one", mode=0o600)
        vm.snapshot("one")
        vm.write("/root/a", data)
        assert vm.read("/root/a") == data
        with vm.fork(2) as forks:
            forks[0].write("/root/a", "fork")
            assert [fork.read("/root/a") for fork in forks] == [b"fork", data]
        vm.restore("one")
        assert vm.read("/root/a") == b"one"
        with pytest.raises(errors.GuestPathNotFound):
            vm.read("/root/b")
        with pytest.raises(errors.GuestRefused):
            vm.read("/root")
        assert "a" in [entry["name"] for entry in vm.files.list("/root")]
        with vm.files.watch("/root") as changes:
            vm.run(["sh", "-c", "mkdir /root/sub; echo b > /root/sub/b"], check=True)
            told = {change["path"]: change["kind"] for change in islice(changes, 2)}
        assert told == {"/root/sub": "created", "/root/sub/b": "created"}
        job = vm.sessions.start(["sh", "-c", "read word; echo $word"], stdin=True)
        job.send("hello\n")
        assert [data for _, data in job.logs(follow=True)] == [b"hello\n"]
        assert job.wait() == 0
        with vm.popen(["cat"], stdin=True) as process:
            process.write(data)
            process.close_input()
            assert b"".join(piece for _, piece in process) == data
    with pytest.raises(errors.VmNotFound):
        client.get(vm.id)


def test_a_loop_runs_commands_side_by_side(banger: Installation, tiny: str) -> None:
    async def run() -> list[str]:
        async with AsyncClient().vm(**SIZE) as vm:  # type: ignore[misc]  # as above
            done = await asyncio.gather(*(vm.run(["echo", str(n)]) for n in range(40)))
            return [each.stdout for each in done]

    assert asyncio.run(run()) == [f"{n}\n" for n in range(40)]
