"""Notices to a VM's user and the log about what the daemon notices or does without a request."""

from __future__ import annotations

import logging

from banger.engine.state.engine import Engine
from banger.model.vm import EventKind, VmRecord

log = logging.getLogger(__name__)


def notify(engine: Engine, record: VmRecord, text: str) -> None:
    """Write one sentence about a VM to the log, and publish it."""
    log.warning("%s (%s): %s", record.spec.name, record.id, text)
    engine.events.publish(EventKind.NOTICE, record.id, record.spec.name, text=text)
