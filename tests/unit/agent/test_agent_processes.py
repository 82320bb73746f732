"""PROCESSES: what runs, with odd names and as odd users."""

from __future__ import annotations

import os
import pwd
import struct
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from tests.unit.agent.wire import PROCESSES, Host, number

# /proc counts in hundredths of a second, so the program goes on until it is seen to have worked.
RENAMED = """
import os
open('/proc/self/comm', 'w').write(') R 1 (\\n')
x = bytearray(20 << 20)
while sum(os.times()[:2]) < 0.05:
    pass
print('ok', flush=True)
input()
"""
RECORD = struct.Struct("<IIIIIcBHQQQ")


class Record(NamedTuple):
    pid: int
    parent: int
    uid: int
    state: bytes
    flags: int
    zero: int
    cpu_ns: int
    age_ns: int
    resident: int
    command: bytes
    user: bytes


def records(raw: bytes) -> dict[int, Record]:
    found = {}
    while raw:
        command, user, *numbers = RECORD.unpack_from(raw)
        texts = raw[RECORD.size :][: command + user]
        record = Record(*numbers, texts[:command], texts[command:])
        found[record.pid], raw = record, raw[RECORD.size + command + user :]
    return found


def test_what_runs_is_told_and_what_is_odd_does_no_harm(host: Host) -> None:
    """E2: a process chooses its name and its arguments."""
    long = ["/usr/bin/python3", "-c", "input()", "x" * 10_000]
    named = ["/usr/bin/python3", "-c", RENAMED]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(["/usr/bin/sleep", "600"]) as sleeping,
        subprocess.Popen(long, stdin=pipe) as wordy,
        subprocess.Popen(named, stdin=pipe, stdout=pipe) as renamed,
    ):
        try:
            assert renamed.stdout is not None and renamed.stdout.read(2) == b"ok"
            while b"S" not in Path(f"/proc/{renamed.pid}/stat").read_bytes().rpartition(b")")[2]:
                time.sleep(0.01)
            outcome = host.call(PROCESSES)
        finally:
            for process in (sleeping, wordy, renamed):
                process.kill()
    found = records(outcome.stdout)
    assert number(outcome.result["ENTRIES"]) == len(found)
    seen = found[sleeping.pid]
    assert seen.command == b"/usr/bin/sleep 600"
    assert (seen.parent, seen.uid, seen.flags, seen.zero) == (os.getpid(), os.getuid(), 0, 0)
    assert seen.user == pwd.getpwuid(os.getuid()).pw_name.encode()
    assert len(found[wordy.pid].command) == 4095
    busy = found[renamed.pid]
    assert (busy.parent, busy.state) == (os.getpid(), b"S")
    assert busy.resident > 20 << 20
    assert 0 < busy.cpu_ns <= 2 * busy.age_ns
    assert found[os.getpid()].age_ns > busy.age_ns


def test_a_process_without_arguments_has_its_name_in_brackets(host: Host) -> None:
    zombie = os.fork()
    if not zombie:
        os._exit(0)
    os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
    try:
        found = records(host.call(PROCESSES).stdout)[zombie]
    finally:
        os.waitpid(zombie, 0)
    assert found.state == b"Z"
    assert found.command.startswith(b"[") and found.command.endswith(b"]")
