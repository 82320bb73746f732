"""A VM's root file system as a new image, read through its agent while the VM runs.

A VM that does not run is not read: its disk is what a guest wrote, and no kernel of the host's
looks at that (E5); the error says how it is started. What is read is what programs of the guest
would read then, so nothing has to be flushed first, and files that are written meanwhile are as
they were at their turn.

Takes no L2 (hazard C1): ending the VM ends the reading. L3 is held while the guest is read, so
that a repository that is being prepared is in the image whole or not at all. If the process dies
there is nothing but a staging directory, which is emptied at the next start (A9).
"""

from __future__ import annotations

import asyncio

from banger import guest, images
from banger.api.method import serves
from banger.api.requests import VmCommit
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm
from banger.engine.state.operations import Operation
from banger.engine.state.runtime import hold_workspace
from banger.engine.steps.guest import NATIVE_DIRECTORIES
from banger.host.files import staged_dir
from banger.model.artifacts import Image
from banger.plan.identity import UNSHARED

READ_DEADLINE_S = 3600.0
"""For a guest's whole root: 15 to 40 MB/s under emulation."""


@serves("vm.commit")
async def commit_vm(engine: Engine, op: Operation, params: VmCommit) -> Image:
    """Make an image of what a running guest sees as its root, without what makes it itself.

    How it is run it has of the VM's image.

    Raises:
        InvalidRequest: no image can have this name.
        WrongState: the VM does not run.
        GuestGone, GuestRefused, DeadlineExceeded: the guest did not let itself be read.
        ImageInvalid, ImageUnsupported: what it sent cannot be an image.
        ToolMissing, ToolFailed, NoSpace: the root cannot be written.
    """
    name = images.require_image_name(params.name)
    images.require_root_writer()
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    base = await asyncio.to_thread(images.get_image, engine.layout, record.spec.image)
    most = base.size_bytes + record.spec.shape.disk_mib * 2**20 + images.TAR_BYTES_EXTRA
    with staged_dir(engine.layout.staging, prefix="image") as staged:
        async with (
            hold_workspace(engine.runtime(record.id), op),
            guest.root_out(connection, NATIVE_DIRECTORIES, deadline_s=READ_DEADLINE_S) as chunks,
        ):
            await images.keep_root_tar(staged, chunks, limit_bytes=most, progress=op.progress)
        return await images.commit_image(
            engine.layout,
            staged,
            base,
            name=name,
            source=f"vm:{record.spec.name}",
            hidden=UNSHARED,
            stores=[native.decode() for native in NATIVE_DIRECTORIES],
            progress=op.progress,
            now=engine.now(),
        )
