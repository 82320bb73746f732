"""A client's talk with the daemon, without a connection: steps come out, bytes go in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from banger.api import wire
from banger.client.conversation import (
    CLOSE,
    CONNECT,
    RECEIVE,
    SEND,
    TRIES,
    Conversation,
    NotBegun,
)
from banger.errors import DaemonUnreachable, OutcomeUnknown, VersionMismatch, VmNotFound

GOODBYE = wire.format_notification(wire.GOODBYE, {})
PROGRESS = wire.format_notification("progress", {"stage": "boot"})


class Driver:
    """Takes steps by a script of what is received; a class is thrown."""

    def __init__(self, *received: bytes | type[Exception], replaces: bool = True) -> None:
        self.conversation = Conversation(replaces=replaces, environ={"BANGER_A": "1", "HOME": "/"})
        self.received = list(received)
        self.steps: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.events: list[tuple[str, object]] = []

    def ask(self, method: str = "vm.show") -> object:
        talk = self.conversation.request(method, {"ref": "a"}, self._hear)
        try:
            step, line = next(talk)
            while True:
                self.steps.append(step)
                if step == SEND:
                    self.sent.append(json.loads(line))
                data = self.received.pop(0) if step == RECEIVE else b""
                step, line = talk.throw(data()) if isinstance(data, type) else talk.send(data)
        except StopIteration as end:
            return end.value

    def _hear(self, kind: str, content: object) -> None:
        self.events.append((kind, content))


def test_a_reply_may_come_in_pieces_and_behind_notifications() -> None:
    said = PROGRESS + wire.format_reply(1, "yes") + b"frames"
    driver = Driver(*(said[at : at + 5] for at in range(0, len(said), 5)))
    assert driver.ask() == "yes"
    assert driver.events == [("progress", {"stage": "boot"})]
    assert driver.sent[0]["caller"] == {"BANGER_A": "1"}
    assert b"frames".startswith(driver.conversation.end_connection())


def test_a_connection_is_kept_for_the_next_request() -> None:
    driver = Driver(wire.format_reply(1, "yes"), wire.format_reply(2, "no"))
    assert (driver.ask(), driver.ask()) == ("yes", "no")
    assert driver.steps == [CONNECT, SEND, RECEIVE, SEND, RECEIVE]


@pytest.mark.parametrize("end", [GOODBYE, NotBegun])
def test_what_was_not_begun_is_sent_to_the_next_daemon(end: bytes | type[Exception]) -> None:
    driver = Driver(end, wire.format_reply(2, "yes"))
    assert driver.ask() == "yes"
    assert driver.steps == [CONNECT, SEND, RECEIVE, CLOSE, CONNECT, SEND, RECEIVE]


def test_daemons_that_only_stop_are_given_up() -> None:
    driver = Driver(*[GOODBYE] * TRIES)
    with pytest.raises(DaemonUnreachable) as caught:
        driver.ask()
    assert not isinstance(caught.value, OutcomeUnknown) and caught.value.retryable


@pytest.mark.parametrize("before", [b"", PROGRESS, b'{"jsonrpc"'])
def test_a_request_that_may_have_begun_is_not_repeated(before: bytes) -> None:
    """Nobody can tell whether it was done, so neither a result nor a second try is made up."""
    driver = Driver(*filter(None, [before]), b"")
    with pytest.raises(OutcomeUnknown):
        driver.ask()
    assert driver.steps.count(SEND) == 1


def test_a_daemon_of_another_version_is_stopped_on_its_own_connection() -> None:
    mismatch = wire.format_error(1, VersionMismatch("It is older."))
    driver = Driver(mismatch, wire.format_reply(2, {}), wire.format_reply(3, "yes"))
    assert driver.ask() == "yes"
    assert [sent["method"] for sent in driver.sent] == ["vm.show", "daemon.stop", "vm.show"]
    assert driver.steps == [
        *(CONNECT, SEND, RECEIVE, SEND, RECEIVE, CLOSE),
        *(CONNECT, SEND, RECEIVE),
    ]


def test_who_may_not_replace_a_daemon_is_told() -> None:
    driver = Driver(wire.format_error(1, VersionMismatch("It is older.")), replaces=False)
    with pytest.raises(VersionMismatch):
        driver.ask()


def test_an_error_has_its_own_class() -> None:
    with pytest.raises(VmNotFound):
        Driver(wire.format_error(1, VmNotFound("There is no VM a."))).ask()
