"""The dispatcher without a front: requests are documents, outcomes are values."""

from __future__ import annotations

import asyncio
from pathlib import Path

from banger.api.requests import VmCreate, VmRef
from banger.daemon.calls import Call, Handlers, Stream
from banger.daemon.dispatch import Dispatcher, Peer, parse_request
from banger.engine.state.operations import Note, Operation, Progress
from banger.engine.state.running import OperationTable
from banger.errors import BangerError, InternalError, InvalidRequest, VersionMismatch, VmNotFound


async def create(call: Call, params: VmCreate) -> str:
    await asyncio.to_thread(call.operation.progress, "boot")
    return f"{params.name} in {call.operation.method}"


async def show(_: Call, params: VmRef) -> object:
    raise VmNotFound(f"There is no VM {params.ref}.")


async def stats(_: Call, __: object) -> object:
    raise ZeroDivisionError


HANDLERS: Handlers = {"vm.create": create, "vm.show": show, "vm.stats": stats}


def ask(
    reports: Path, method: str, params: object, **more: object
) -> tuple[object, list[Progress | Note]]:
    """Return the outcome of one request, and what was reported meanwhile."""
    told: list[Progress | Note] = []

    def report(_: Operation, item: Progress | Note) -> None:
        told.append(item)

    async def start_stream(_: object) -> Stream:
        raise AssertionError("no stream")

    async def run() -> object:
        dispatcher = Dispatcher(HANDLERS, operations=OperationTable(), reports=reports)
        peer = Peer(report, start_stream, lambda _: None, since_answer_s=1.0)
        document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params, **more}
        return await dispatcher.run(parse_request(document), peer)

    return asyncio.run(run()), told


def test_an_outcome_is_a_value(tmp_path: Path) -> None:
    outcome, told = ask(tmp_path, "vm.create", {"name": "box"})
    assert outcome == "box in vm.create"
    assert [type(each) for each in told] == [Progress]


def test_an_error_is_a_value_with_its_operation(tmp_path: Path) -> None:
    outcome, _ = ask(tmp_path, "vm.show", {"ref": "box"})
    assert isinstance(outcome, VmNotFound) and outcome.operation_id


def test_what_is_not_asked_rightly_reaches_no_verb(tmp_path: Path) -> None:
    for method, params, more, kind in (
        ("vm.show", {"name": "box"}, {}, InvalidRequest),
        ("vm.show", {"ref": "box"}, {"client": "0.0.1"}, VersionMismatch),
        ("vm.delete", {"ref": "box"}, {}, BangerError),
    ):
        outcome, _ = ask(tmp_path, method, params, **more)
        assert isinstance(outcome, kind) and not isinstance(outcome, VmNotFound)


def test_a_bug_leaves_a_report(tmp_path: Path) -> None:
    """Others leave none: the errors above."""
    outcome, _ = ask(tmp_path, "vm.stats", {})
    assert isinstance(outcome, InternalError)
    assert [path.name for path in tmp_path.iterdir()]
