"""Bring a guest up: reach its agent, give it its identity and root, wait for its init."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib

from banger import guest, images, kernels, network
from banger.engine.engine import Engine
from banger.errors import ExecNotExecutable, ExecNotFound, GuestGone
from banger.model.names import VmId
from banger.model.vm import NetworkKind, VmRecord, VmSpec
from banger.plan.identity import IdentityFile, render_identity_files, render_name_files

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


async def boot_guest(engine: Engine, record: VmRecord) -> None:
    """Connect to the agent of a VM that was just spawned, and boot its guest.

    Raises:
        GuestGone: the VMM ended.
        GuestRefused: a step of the boot failed in the guest.
    """
    live = engine.live_vm(record.id)
    socket = engine.layout.vm_agent_socket(record.id)
    live.connection = await guest.connect(socket, deadline_s=STEP_DEADLINE_S)
    image = await asyncio.to_thread(images.get_image, engine.layout, record.spec.image)
    kernel = await asyncio.to_thread(kernels.get_kernel, engine.layout, record.spec.kernel)
    spec = guest.BootSpec(
        root="serial:root",
        data="serial:data",
        modules="serial:modules" if kernel.tree else None,
        init=None if image.init is None else image.init.encode(),
        native=NATIVE_DIRECTORIES,
        identity=await asyncio.to_thread(_identity, engine, record),
    )
    await guest.boot(live.connection, spec, deadline_s=STEP_DEADLINE_S)


async def identify_guest(engine: Engine, record: VmRecord) -> None:
    """Make a clone a machine of its own before anybody can see it (hazards D1, D2).

    Raises:
        GuestRefused, DeadlineExceeded: the agent did not confirm; the clone is to be thrown away.
    """
    live = engine.live_vm(record.id)
    socket = engine.layout.vm_agent_socket(record.id)
    live.connection = await guest.connect(socket, deadline_s=IDENTIFY_DEADLINE_S)
    identity = await asyncio.to_thread(_identity, engine, record)
    await guest.identify(live.connection, identity, deadline_s=IDENTIFY_DEADLINE_S)


async def rehearse_guest(engine: Engine, vm_id: VmId) -> None:
    """Let a guest run a program that does nothing, so that the first of its user runs faster.

    An emulator translates the guest's code when it is first run, which is most of the time of a
    clone's first command. The shell starts a program of its own, so that it is not
    the agent's way alone that was gone before. An image that has no shell is fine.
    """
    connection = engine.live_vm(vm_id).connection
    assert connection is not None
    with contextlib.suppress(ExecNotFound, ExecNotExecutable):
        await guest.run(connection, REHEARSAL, deadline_s=IDENTIFY_DEADLINE_S)


async def hand_out_guest(
    engine: Engine, record: VmRecord, *, called: str, deadline_s: float
) -> None:
    """Bring a clone that waited up to date, which is `called` something already (D1, D2).

    Raises:
        GuestGone, GuestRefused, DeadlineExceeded: the agent did not confirm.
    """
    connection = engine.live_vm(record.id).connection
    if connection is None:
        raise GuestGone("The connection to the guest's agent is lost.")
    name = record.spec.name
    identity = guest.Identity(
        hostname=None if name == called else name,
        clock_ns=int(engine.now() * 1e9),
        entropy=engine.random_bytes(ENTROPY_BYTES),
        files=() if name == called else _guest_files(render_name_files(name)),
    )
    await guest.identify(connection, identity, deadline_s=deadline_s)


async def settle_guest(engine: Engine, record: VmRecord) -> None:
    """Return when the image's init has started what it starts.

    Only systemd can be asked; for others the agent's answer is all there is.
    """
    live = engine.live_vm(record.id)
    image = await asyncio.to_thread(images.get_image, engine.layout, record.spec.image)
    if image.init is None or live.connection is None:
        return
    while True:
        # Fails until systemd's bus is up; then it waits for the state by itself.
        asked = await guest.run(
            live.connection,
            [b"systemctl", b"is-system-running", b"--wait"],
            deadline_s=STEP_DEADLINE_S,
        )
        state = asked.stdout.decode("ascii", "replace").strip()
        if state in SETTLED:
            return
        await asyncio.sleep(SETTLE_POLL_S)


async def start_entrypoint(engine: Engine, record: VmRecord) -> None:
    """Have the agent run the image's entry point from now on, as the image says.

    Raises:
        ExecNotFound, ExecNotExecutable, ExecBadDirectory, ExecNoSuchUser: it cannot be run.
    """
    connection, spec = engine.live_vm(record.id).connection, record.spec
    if connection is None:
        raise GuestGone("The connection to the guest's agent is lost.")
    program = guest.ExecSpec(
        argv=tuple(word.encode() for word in spec.entrypoint),
        env=tuple((name.encode(), value.encode()) for name, value in spec.env.items()),
        cwd=spec.workdir.encode() or None,
        user=spec.user or None,
        detach=True,
        supervise=True,
    )
    async with await guest.start_exec(connection, program, deadline_s=STEP_DEADLINE_S) as process:
        await process.wait()


def _identity(engine: Engine, record: VmRecord) -> guest.Identity:
    key = engine.layout.vm_host_key(record.id)
    has_network = record.spec.network is not NetworkKind.NONE
    interface = network.user_interface(record.id) if has_network else None
    hostname = _hostname(record.spec)
    files = render_identity_files(
        hostname=hostname,
        # Derived, so that a VM keeps its machine-id over restarts; D2 wants it unlike others'.
        machine_id=hashlib.sha256(f"machine-id {record.id}".encode()).hexdigest()[:32],
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
        ),
    )


def _hostname(spec: VmSpec) -> str:
    return TEMPLATE_HOSTNAME if spec.builds is not None else spec.pooled or spec.name


def _guest_files(files: tuple[IdentityFile, ...]) -> tuple[guest.GuestFile, ...]:
    return tuple(
        guest.GuestFile(path=f.path.encode(), content=f.content, mode=f.mode) for f in files
    )
