"""The daemon of `tokens_daemon` with events; its VMs share the real agent, a process of this host.

`python -m tests.component.web.page_daemon --ready-fd N`, with BANGER_TEST_AGENT_FD: the host's end
of the agent's socket, which outlives this daemon as a VM would. `image.pull` stops in the middle
until the file `gate` is in the state directory; each VM was denied one target.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace

from banger.api.egress import DeniedTarget, EgressChange
from banger.api.ports import PortRemove
from banger.api.requests import ImagePull, NoParams, VmFork, VmRef
from banger.api.results import Listener
from banger.api.secrets import SecretView
from banger.api.snapshots import SnapshotCreate
from banger.api.usage import VmHistory
from banger.daemon.__main__ import _ready_fd, main
from banger.daemon.bindings import bind_verbs, find_verbs
from banger.daemon.calls import Call, Handlers
from banger.daemon.lifecycle import Control
from banger.engine.state.events import Events
from banger.engine.state.shared import SharedWork
from banger.engine.state.tasks import OwnedTasks
from banger.engine.verbs import execs, sessions
from banger.errors import ImageNotFound
from banger.guest import GuestConnection, connect
from banger.model.egress import Egress
from banger.model.names import VmId
from banger.model.progress import Part
from banger.model.vm import EventKind, VmRecord, WorkspaceRecord
from banger.store import open_database
from tests.component.daemon.scripted import make_sample
from tests.component.web import tokens_daemon
from tests.support.specs import make_spec

Handle = Callable[[Call, Any], Awaitable[object]]

CHANGING = ("vm.create", "vm.set", "vm.pause", "vm.resume", "vm.delete", "vm.fork")


@contextlib.asynccontextmanager
async def open_handlers(control: Control) -> AsyncIterator[Handlers]:
    sock = socket.socket(fileno=int(os.environ["BANGER_TEST_AGENT_FD"]))
    connection = await connect(sock, deadline_s=60)
    events = Events(time.time)
    shared = SharedWork(OwnedTasks())
    database = await open_database(control.layout.state / "page.db")
    engine: Any = SimpleNamespace(
        random_bytes=os.urandom,
        events=events,
        shared=shared,
        operations=control.operations,
        database=database,
    )
    async with tokens_daemon.open_handlers(control) as handlers:

        async def get_vm(_: object, ref: str) -> VmRecord:
            view: Any = await handlers["vm.show"](NOBODY, VmRef(ref=ref))
            return VmRecord(id=view.id, spec=make_spec(view.name), state=view.state, created_at=0.0)

        async def get_connection(_: object, __: VmRecord) -> GuestConnection:
            return connection

        for module in (execs, sessions):
            vars(module).update(get_vm=get_vm, get_connection=get_connection)
        bound = bind_verbs(find_verbs(), engine=engine, control=control)
        real = {n: verb for n, verb in bound.items() if n.startswith(("session.", "operations."))}
        origins: dict[str, str] = {}
        forking = {**handlers, "vm.fork": make_fork(handlers, origins)}
        told = {name: tell(events, forking[name]) for name in CHANGING}
        own = {
            "image.pull": make_pull(control),
            "egress.change": make_change(control),
            "vm.list": make_list(handlers, origins),
            "vm.ports": make_ports(handlers),
            "port.remove": make_close(control),
            **FIXED,
            **{name: bound[name] for name in ("vm.watch", "doctor")},
        }
        yield {**handlers, **real, **told, **own}
    await connection.close()
    await database.close()


NOBODY: Any = None
WHY = ("TLS names another server", "no name of a server came")
"""What was wrong with two connections to one target."""


def make_fork(handlers: Handlers, origins: dict[str, str]) -> Handle:
    """Note the snapshots of which VMs are made."""

    async def fork(call: Call, params: VmFork) -> object:
        saved: Any = await handlers["snapshot.create"](call, SnapshotCreate(ref=params.ref))
        views: Any = await handlers["vm.fork"](call, params)
        origins.update({view.id: saved.id for view in views})
        return views

    return fork


def make_list(handlers: Handlers, origins: dict[str, str]) -> Handle:
    """Give each VM a workspace and two secrets, and each fork its origin."""
    workspace = WorkspaceRecord(
        host_path="/srv/project", guest_path="/root/project", commit="1" * 40
    )

    async def list_vms(call: Call, params: Any) -> object:
        views: Any = await handlers["vm.list"](call, params)
        more = {"workspace": workspace, "secrets": ["TOKEN", "DELETED"]}
        return [replace(view, snapshot=origins.get(view.id), **more) for view in views]

    return list_vms


def make_pull(control: Control) -> Handle:
    async def pull(call: Call, params: ImagePull) -> object:
        parts = (Part("<b>layer</b>", 2**20, 2**21),)
        call.operation.progress("pull", 2**20, 2**21, parts)
        while not (control.layout.state / "gate").exists():  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.01)
        raise ImageNotFound(f"There is no image {params.ref}.", hint="banger image list")

    return pull


def note(control: Control, *lines: str) -> None:
    """Tell the test."""
    with open(control.layout.state / "events", "a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def make_change(control: Control) -> Handle:
    async def change(_: Call, params: EgressChange) -> object:
        note(control, *params.rules)
        return Egress(rules=tuple(params.rules))

    return change


def make_ports(handlers: Handlers) -> Handle:
    """Publish a number of both protocols."""

    async def list_ports(call: Call, params: VmRef) -> object:
        found: Any = await handlers["vm.ports"](call, params)
        own = Listener(
            vm="", protocol="tcp", port=53, host_address="::1", host_port=53, is_published=True
        )
        return [*found, own, replace(own, protocol="udp")]

    return list_ports


def make_close(control: Control) -> Handle:
    async def close(_: Call, params: PortRemove) -> object:
        note(control, f"closed {params.port}")
        return None

    return close


async def list_denied(_: Call, __: VmRef) -> object:
    rule, one = "allow 10.1.2.3:80/tcp", "example.org:443/tcp"
    return [
        DeniedTarget(target="10.1.2.3:80/tcp", times=3, last_at=0.0, rule=rule),
        *(DeniedTarget(target=one, times=1, last_at=0.0, rule=None, why=why) for why in WHY),
    ]


async def list_samples(_: Call, __: VmHistory) -> object:
    return [
        replace(make_sample(60.0 * number), cpu_percent=percent)
        for number, percent in enumerate((25.0, 100.0, 50.0))
    ]


async def list_secrets(_: Call, __: NoParams) -> object:
    return [
        SecretView(
            name=name, hosts=["api.example", "*.example.org:8443"], headers=["x-key"], vms=[]
        )
        for name in ("OF_OTHERS", "TOKEN")
    ]


async def list_nothing(_: Call, __: NoParams) -> object:
    return []


FIXED: dict[str, Handle] = {
    "egress.log": list_denied,
    "secret.list": list_secrets,
    "kernel.list": list_nothing,
    "template.list": list_nothing,
    "image.catalog": list_nothing,
    "vm.history": list_samples,
}


def tell(events: Events, handle: Handle) -> Handle:
    """Publish that something changed after the handler."""

    async def handle_and_tell(call: Call, params: Any) -> object:
        result = await handle(call, params)
        events.publish(EventKind.CHANGED, VmId("0" * 12), "changed")
        return result

    return handle_and_tell


if __name__ == "__main__":
    sys.exit(main(open_handlers, ready_fd=_ready_fd(sys.argv[1:])))
