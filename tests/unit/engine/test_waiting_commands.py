"""What a client is told while its command waits for others."""

from __future__ import annotations

from banger.engine.state.operations import Note, Operation, Progress
from banger.engine.verbs.execs import note_wait
from banger.model.names import OperationId, VmId
from banger.model.vm import VmRecord, VmState
from tests.support.specs import make_spec


def test_the_notice_names_the_vm_and_how_many_run_in_it() -> None:
    """H9."""
    told: list[Progress | Note] = []
    op = Operation(OperationId("op-1"), "vm.exec", 0.0, told.append)
    spec = make_spec(name="calm-otter")
    record = VmRecord(id=VmId("0123456789ab"), spec=spec, state=VmState.RUNNING, created_at=0.0)
    note_wait(op, record, 720)
    text = "calm-otter runs 720 commands, the limit; waiting for one to end."
    assert told == [Note("notice", text)]
