"""Bring a guest up: reach its agent, give it its identity and root, wait for its init."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from typing import Any

from banger import guest, images, kernels, secrets, workspace
from banger.engine.state.agent import connect_agent
from banger.engine.state.machine import Machine
from banger.engine.steps import trust
from banger.engine.steps.actor import Actor
from banger.errors import ExecNotExecutable, ExecNotFound, GuestGone, GuestRefused
from banger.model.vm import Pooled, TemplateBuild, VmRecord
from banger.plan.identity import IdentityFile, render_identity_files, render_name_files
from banger.plan.steps import (
    BootGuest,
    IdentifyGuest,
    ProtectWorkspace,
    RehearseGuest,
    SettleGuest,
    StartEntrypoint,
)

NATIVE_DIRECTORIES = (b"/root", b"/home", b"/var/lib/docker", b"/var/lib/containerd")
"""Kept on the data disk itself: work trees and container stores want a native ext4."""
STEP_DEADLINE_S = 600.0
"""Upper bound of a single wait; the start as a whole has its own, shorter deadline."""
IDENTIFY_DEADLINE_S = 30.0
"""For a clone's agent to answer, and to confirm (hazard D3)."""
TEMPLATE_HOSTNAME = "template"
"""What a guest is called that is to become a template; each clone gets its own name."""
REHEARSAL = [b"/bin/sh", b"-c", b"/bin/true; :"]
SETTLED = ("running", "degraded")
SETTLE_POLL_S = 0.25
ENTROPY_BYTES = 64

log = logging.getLogger(__name__)


async def _boot_guest(machine: Machine, _: BootGuest) -> None:
    """Connect to the agent of a VM that was just spawned, and boot its guest.

    Raises:
        GuestGone: the VMM ended.
        GuestRefused: a step of the boot failed in the guest.
    """
    layout, spec = machine.engine.layout, machine.record.spec
    connection = await _connect(machine, deadline_s=STEP_DEADLINE_S)
    image = await asyncio.to_thread(images.get_image, layout, spec.image)
    kernel = await asyncio.to_thread(kernels.get_kernel, layout, spec.kernel)
    disks = machine.kind.disk_names
    boot = guest.BootSpec(
        root=disks.root,
        data=disks.data,
        modules=disks.modules if kernel.tree else None,
        init=None if image.init is None else image.init.encode(),
        native=NATIVE_DIRECTORIES,
        identity=await asyncio.to_thread(_identity, machine),
    )
    await guest.boot(connection, boot, deadline_s=STEP_DEADLINE_S)
    await _trust_authority(machine, connection)


async def _trust_authority(machine: Machine, connection: guest.GuestConnection) -> None:
    """Have a guest whose VM has secrets trust the certificate of its own authority."""
    layout, held = machine.engine.layout, machine.record.spec.secrets
    if held.placeholders:
        seed = await asyncio.to_thread(secrets.load_seed, layout)
        certificate = await asyncio.to_thread(secrets.render_authority, seed, held.authority)
        await trust.add_certificate(connection, certificate, name=held.authority)


async def _connect(machine: Machine, *, deadline_s: float) -> guest.GuestConnection:
    connection = await connect_agent(machine.require_vmm(), deadline_s=deadline_s)
    machine.runtime.connection = connection
    return connection


async def _identify_guest(machine: Machine, _: IdentifyGuest) -> None:
    """Make a clone a machine of its own before anybody can see it (hazards D1, D2).

    Raises:
        GuestRefused, DeadlineExceeded: the agent did not confirm; the clone is to be thrown away.
    """
    connection = await _connect(machine, deadline_s=IDENTIFY_DEADLINE_S)
    identity = await asyncio.to_thread(_identity, machine)
    await guest.identify(connection, identity, deadline_s=IDENTIFY_DEADLINE_S)
    await _trust_authority(machine, connection)


async def _rehearse_guest(machine: Machine, _: RehearseGuest) -> None:
    """Let a guest run a program that does nothing, so that the first of its user runs faster.

    An emulator translates the guest's code when it is first run, which is most of the time of a
    clone's first command. The shell starts a program of its own, so that it is not
    the agent's way alone that was gone before. An image that has no shell is fine.
    """
    connection = _require_connection(machine)
    with contextlib.suppress(ExecNotFound, ExecNotExecutable):
        await guest.run(connection, REHEARSAL, deadline_s=IDENTIFY_DEADLINE_S)


def _require_connection(machine: Machine) -> guest.GuestConnection:
    connection = machine.runtime.connection
    if connection is None:
        raise GuestGone("The connection to the guest's agent is lost.")
    return connection


async def hand_out_guest(machine: Machine, *, called: str, deadline_s: float) -> None:
    """Bring a clone that waited up to date, which is `called` something already (D1, D2).

    Raises:
        GuestGone, GuestRefused, DeadlineExceeded: the agent did not confirm.
    """
    connection, engine = _require_connection(machine), machine.engine
    name = machine.record.spec.name
    identity = guest.Identity(
        hostname=None if name == called else name,
        clock_ns=int(engine.now() * 1e9),
        entropy=engine.random_bytes(ENTROPY_BYTES),
        files=() if name == called else _guest_files(render_name_files(name, _gateway(machine))),
    )
    await guest.identify(connection, identity, deadline_s=deadline_s)


async def _settle_guest(machine: Machine, _: SettleGuest) -> None:
    """Return when the image's init has started what it starts.

    Only systemd can be asked; for others the agent's answer is all there is.
    """
    layout = machine.engine.layout
    image = await asyncio.to_thread(images.get_image, layout, machine.record.spec.image)
    if image.init is None:
        return
    connection = _require_connection(machine)
    while True:
        # Fails until systemd's bus is up; then it waits for the state by itself.
        asked = await guest.run(
            connection,
            [b"systemctl", b"is-system-running", b"--wait"],
            deadline_s=STEP_DEADLINE_S,
        )
        state = asked.untrusted_stdout.decode("ascii", "replace").strip()
        if state in SETTLED:
            return
        await asyncio.sleep(SETTLE_POLL_S)


async def _protect_workspace(machine: Machine, step: ProtectWorkspace) -> None:
    """Mount a workspace read-only again; a guest that cannot, or lacks it, is used as it is."""
    guest_files = guest.ConnectedGuest(_require_connection(machine))
    try:
        await workspace.make_read_only(guest_files, step.path)
    except GuestRefused as error:
        log.warning("%s: %s", machine.record.spec.name, error)


async def _start_entrypoint(machine: Machine, _: StartEntrypoint) -> None:
    """Have the agent run the image's entry point from now on, as the image says.

    Raises:
        ExecNotFound, ExecNotExecutable, ExecBadDirectory, ExecNoSuchUser: it cannot be run.
    """
    connection, spec = _require_connection(machine), machine.record.spec
    program = guest.ExecSpec(
        argv=tuple(word.encode() for word in spec.program.entrypoint),
        env=tuple((name.encode(), value.encode()) for name, value in spec.environment.items()),
        cwd=spec.program.workdir.encode() or None,
        user=spec.program.user or None,
        detach=True,
        supervise=True,
    )
    async with await guest.start_exec(
        connection, program, deadline_s=STEP_DEADLINE_S, lane=guest.Lane.CONTROL
    ) as process:
        await process.wait()


def _identity(machine: Machine) -> guest.Identity:
    engine, record = machine.engine, machine.record
    key = engine.layout.vm_host_key(record.id)
    interface = machine.interface
    hostname = _hostname(record)
    files = render_identity_files(
        hostname=hostname,
        # Derived, so that a VM keeps its machine-id over restarts; D2 wants it unlike others'.
        machine_id=hashlib.sha256(f"machine-id {record.id}".encode()).hexdigest()[:32],
        host_address=_gateway(machine),
        nameservers=interface.dns if interface else (),
        host_key=key.read_bytes(),
        host_key_public=key.with_suffix(".pub").read_bytes(),
    )
    return guest.Identity(
        hostname=hostname,
        clock_ns=int(engine.now() * 1e9),
        entropy=engine.random_bytes(ENTROPY_BYTES),
        files=_guest_files(files),
        interface=None
        if interface is None
        else guest.Interface(
            mac=bytes.fromhex(interface.mac.replace(":", "")),
            address=interface.address,
            prefix=interface.prefix,
            gateway=interface.gateway,
            address6=interface.address6,
        ),
    )


def _gateway(machine: Machine) -> str | None:
    return None if machine.interface is None else machine.interface.gateway


def _hostname(record: VmRecord) -> str:
    match record.role:
        case TemplateBuild():
            return TEMPLATE_HOSTNAME
        case Pooled(hostname=hostname):
            return hostname
        case _:
            return record.spec.name


def _guest_files(files: tuple[IdentityFile, ...]) -> tuple[guest.GuestFile, ...]:
    return tuple(
        guest.GuestFile(path=f.path.encode(), content=f.content, mode=f.mode) for f in files
    )


ACTORS: tuple[Actor[Any], ...] = (
    Actor(BootGuest, _boot_guest, stage="boot"),
    Actor(SettleGuest, _settle_guest, stage="settle"),
    Actor(IdentifyGuest, _identify_guest, stage="identify"),
    Actor(RehearseGuest, _rehearse_guest),
    Actor(ProtectWorkspace, _protect_workspace),
    Actor(StartEntrypoint, _start_entrypoint, stage="entry point"),
)
