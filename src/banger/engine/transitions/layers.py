"""Layers: templates that start from another template and contain the result of setup commands.

    base template --clone--> a VM in no list --setup--> quiesced, saved --rename--> layer

A layer's key covers the base's key, the commands, the contents of their inputs, the directory and
the variables, so that a change of one of these makes another layer. The VM has the role
`TemplateBuild`, like that of a template that boots (`build`): recovery deletes it, whatever it was
doing, and `staging/` is emptied after that. So a build that is killed leaves nothing (A9, D9). The
base is pinned until the layer is saved, since saving begins with the base's memory.

Runs under lock L4 with the layer's key, and holds L2 of its own VM, which nobody else knows.
"""

from __future__ import annotations

import asyncio
import shutil

import msgspec

from banger import templates
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection
from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.engine.state.pins import pinned
from banger.engine.state.shared import Progress
from banger.engine.state.tasks import finish_shielded
from banger.engine.transitions.build import (
    delete_anyway,
    describe_template,
    plan_builder,
    quiesce,
    report_to,
    save_builder,
)
from banger.engine.transitions.clone import clone_vm, forgotten_if_failed
from banger.engine.transitions.make import insert_claimed
from banger.engine.transitions.setup import run_setup
from banger.model.setup import Setup
from banger.model.vm import VmSpec, VmState, template_origin
from banger.templates import Template


async def build_layer(
    engine: Engine, key: str, spec: VmSpec, *, base: str, setup: Setup, tell: Progress
) -> Template:
    """Clone the template `base`, run the commands, and publish the result as the template `key`.

    Raises:
        SetupFailed: a command failed.
        BangerError: the template could not be cloned or saved.
    """
    op = report_to(engine, tell)
    origin = template_origin(base)
    planned = plan_builder(engine, key, spec)
    record = msgspec.structs.replace(planned, origin=origin, state=VmState.STARTING)
    machine = Machine(engine, record)
    staged = engine.layout.saving_dir(machine.id)
    try:
        with pinned(engine, op, origin):
            await engine.database.write(insert_claimed, op, record)
            try:
                async with machine.runtime.lifecycle.hold(op):
                    await _set_up(machine, op, setup)
                    await save_builder(machine, staged)
            finally:
                await finish_shielded(delete_anyway(engine, machine.id))
        template = describe_template(engine, key, spec, setup=tuple(setup.commands))
        await asyncio.to_thread(templates.publish_template, engine.layout, staged, template)
    finally:
        await asyncio.to_thread(shutil.rmtree, staged, ignore_errors=True)
    return template


async def _set_up(machine: Machine, op: Operation, setup: Setup) -> None:
    async with forgotten_if_failed(machine, op):
        await clone_vm(machine, op)
    await run_setup(machine, op, setup)
    op.progress("save template")
    await quiesce(await get_connection(machine.engine, machine.record))
