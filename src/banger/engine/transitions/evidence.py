"""Keep the logs of an ephemeral VM that never became ready, in one report (hazard H5).

The VM itself is deleted, so that its name is free for the next try. Writes one file below
`layout.reports`. If the process dies before the VM is deleted, the next daemon deletes the VM; its
logs may be in a report by then, or gone with it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.engine.transitions.delete import delete_now
from banger.errors import BootFailed
from banger.host.tails import find_tail
from banger.layout import Layout
from banger.model.vm import VmRecord
from banger.reports import write_report

LOG_BYTES_MAX = 1024 * 1024
"""Kept of the end of each log."""
SHOWN_LINES = 12
"""Shown of the end of each log."""


async def replace_by_report(machine: Machine, op: Operation, failure: BootFailed) -> BootFailed:
    """Keep a VM's logs in a report and delete the VM; return the error that says so."""
    engine, record = machine.engine, machine.record
    cause = record.error or failure.message
    name = record.spec.name
    shown = await asyncio.to_thread(_render_ends, engine.layout, record)
    path = await asyncio.to_thread(_save_logs, engine.layout, record, op=op, cause=cause)
    await delete_now(engine, op, record.id)
    where = f"Its logs are in {path}." if path else "No report of its logs could be written."
    return BootFailed(
        f"{name} did not become ready, and was deleted: {cause} {where}",
        hint=f"less {path}" if path else None,
        details="\n".join(part for part in (failure.details, shown) if part),
    )


def _logs(layout: Layout, record: VmRecord) -> list[Path]:
    places = (layout.vm_console_log, layout.vm_vmm_log, layout.vm_network_log)
    return [place(record.id) for place in places]


def _save_logs(layout: Layout, record: VmRecord, *, op: Operation, cause: str) -> Path | None:
    parts = [f"{record.spec.name} ({record.id}) did not become ready: {cause}\n{record.spec}\n"]
    for log in _logs(layout, record):
        text = _read_end(log, max(0, _size(log) - LOG_BYTES_MAX))
        parts.append(f"\n--- {log.name} ---\n{text}")
    return write_report(layout.reports, f"boot-{op.id}", "".join(parts))


def _render_ends(layout: Layout, record: VmRecord) -> str:
    """Return the last lines of each log, under its name."""
    logs = _logs(layout, record)
    ends = [(log.name, _read_end(log, find_tail(log, SHOWN_LINES)).strip()) for log in logs]
    return "\n".join(f"{name}:\n{text}" for name, text in ends if text)


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _read_end(log: Path, offset: int) -> str:
    """Return what a log holds from an offset on; nothing if there is no log."""
    try:
        with open(log, "rb") as file:
            file.seek(offset, os.SEEK_SET)
            return file.read(LOG_BYTES_MAX).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
