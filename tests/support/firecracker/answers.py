"""What a Firecracker answers in many situations: `python3 answers.py PROGRAM DIRECTORY`.

Prints a JSON document: of each life of the program the answers, in order, and how it ended. Run in
the emulated host with the real program, and beside the tests with the stand-in; the two are
compared. Needs nothing but Python. The guest is a kernel of three bytes, which waits.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

WAITS = bytes.fromhex("f4ebfd")  # hlt; jmp back to it
LOAD_ADDRESS = 0x100000
PVH_NOTE = 18
NOT_UNDERSTOOD = "An error occurred when deserializing the json body of a request: "
START_S = 60.0
ANSWER_S = 120.0
END_S = 60.0
ALIVE_S = 0.1
FATAL = "Failed to restore"
HERE = "DIRECTORY"
"""Stands for the directory in requests and answers."""

Step = tuple[str, str, Any]
"""Method, path, and body; None: no body."""


class Life(NamedTuple):
    """One process: what is asked of it, and what is removed before."""

    name: str
    steps: list[Step]
    removed: tuple[str, ...] = ()
    machine: dict[str, Any] | None = None
    """What it is told in a file (`--config-file`); it starts the machine by itself then."""


MACHINE = {"vcpu_count": 1, "mem_size_mib": 128, "track_dirty_pages": True}
SOURCE = {"kernel_image_path": f"{HERE}/kernel", "boot_args": "console=ttyS0"}
DATA = {
    "drive_id": "data",
    "is_root_device": False,
    "is_read_only": False,
    "path_on_host": f"{HERE}/data",
}
MISSING = f"{HERE}/missing"
STATE = {"snapshot_path": f"{HERE}/state", "mem_file_path": f"{HERE}/memory"}
LOAD = {
    "snapshot_path": f"{HERE}/state",
    "mem_backend": {"backend_type": "File", "backend_path": f"{HERE}/memory"},
}
START: Step = ("PUT", "/actions", {"action_type": "InstanceStart"})
PAUSE: Step = ("PATCH", "/vm", {"state": "Paused"})
RESUME: Step = ("PATCH", "/vm", {"state": "Resumed"})

NOT_STARTED = Life(
    "before the start",
    [
        ("GET", "/", None),
        ("GET", "/version", None),
        ("GET", "/machine-config", None),
        ("GET", "/vm/config", None),
        ("GET", "/balloon", None),
        ("GET", "/balloon/statistics", None),
        PAUSE,
        RESUME,
        ("PATCH", "/drives/data", {"drive_id": "data", "path_on_host": f"{HERE}/data"}),
        ("PATCH", "/balloon", {"amount_mib": 1}),
        ("PATCH", "/network-interfaces/eth0", {"iface_id": "eth0"}),
        ("PUT", "/snapshot/create", STATE),
        ("PUT", "/actions", {"action_type": "FlushMetrics"}),
        START,
        ("PUT", "/machine-config", MACHINE),
        ("PUT", "/snapshot/load", LOAD),
        START,
    ],
)
WRONG = Life(
    "requests that are wrong",
    [
        ("GET", "/nothing", None),
        ("PUT", "/nothing", {}),
        ("PATCH", "/nothing", {}),
        ("PUT", "/actions", None),
        ("PATCH", "/vm", None),
        ("GET", "/version", {}),
        ("PUT", "/actions", {"action_type": "Nothing"}),
        ("PUT", "/actions", {"action_type": "InstanceStart", "unknown": 1}),
        ("PUT", "/machine-config", {"vcpu_count": 1}),
        ("PUT", "/machine-config", {"vcpu_count": "1", "mem_size_mib": 128}),
        ("PUT", "/machine-config", {"vcpu_count": 0, "mem_size_mib": 128}),
        ("PUT", "/machine-config", {"vcpu_count": 33, "mem_size_mib": 128}),
        ("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 0}),
        ("PUT", "/machine-config", MACHINE | {"unknown": 1}),
        ("PUT", "/boot-source", {"kernel_image_path": MISSING}),
        ("PUT", "/boot-source", SOURCE | {"initrd_path": MISSING}),
        ("PUT", "/drives/data", DATA | {"path_on_host": MISSING}),
        ("PUT", "/drives/other", DATA),
        ("PUT", "/drives/a-b", DATA | {"drive_id": "a-b"}),
        ("PUT", "/drives/data", DATA | {"unknown": 1}),
        ("PUT", "/drives/data", {"drive_id": "data", "is_root_device": False}),
        ("PUT", "/vsock", {"guest_cid": 3, "uds_path": f"{HERE}/no/such/directory"}),
        ("PUT", "/logger", {"log_path": f"{HERE}/no/such/directory"}),
        ("PUT", "/metrics", {"metrics_path": f"{HERE}/no/such/directory"}),
        ("PUT", "/metrics", {"metrics_path": f"{HERE}/metrics"}),
        ("PUT", "/metrics", {"metrics_path": f"{HERE}/metrics"}),
        ("PUT", "/drives/data", DATA | {"cache_type": "Other"}),
        ("PUT", "/balloon", {"amount_mib": 1}),
        ("PUT", "/balloon", {"amount_mib": 1024, "deflate_on_oom": True}),
        ("PUT", "/snapshot/load", {"snapshot_path": f"{HERE}/state"}),
    ],
)
NEWER = Life(
    "what newer versions know",
    [
        ("PUT", "/serial", {"serial_out_path": f"{HERE}/console"}),
        (
            "PUT",
            "/balloon",
            {"amount_mib": 0, "deflate_on_oom": True, "free_page_reporting": True},
        ),
        ("PUT", "/snapshot/load", LOAD | {"vsock_override": {"uds_path": "other"}}),
        ("PUT", "/snapshot/load", LOAD | {"clock_realtime": True}),
        ("PUT", "/snapshot/load", LOAD | {"track_dirty_pages": True}),
    ],
)
LIFE = Life(
    "from the start to a snapshot",
    [
        ("PUT", "/logger", {"log_path": f"{HERE}/log", "level": "Warning"}),
        ("PUT", "/machine-config", MACHINE),
        ("PUT", "/boot-source", SOURCE),
        ("PUT", "/drives/data", DATA),
        ("PUT", "/vsock", {"guest_cid": 3, "uds_path": "vsock"}),
        ("PUT", "/entropy", {}),
        (
            "PUT",
            "/balloon",
            {"amount_mib": 0, "deflate_on_oom": True, "stats_polling_interval_s": 1},
        ),
        ("GET", "/balloon", None),
        ("GET", "/machine-config", None),
        ("GET", "/vm/config", None),
        START,
        ("GET", "/", None),
        START,
        ("PUT", "/machine-config", MACHINE),
        ("PUT", "/boot-source", SOURCE),
        ("PUT", "/drives/data", DATA),
        ("PUT", "/vsock", {"guest_cid": 3, "uds_path": "vsock"}),
        ("PUT", "/entropy", {}),
        ("PUT", "/balloon", {"amount_mib": 0, "deflate_on_oom": True}),
        ("PUT", "/logger", {"level": "Info"}),
        ("PUT", "/metrics", {"metrics_path": f"{HERE}/metrics"}),
        ("PUT", "/snapshot/load", LOAD),
        ("PUT", "/snapshot/create", STATE),
        ("GET", "/vm/config", None),
        ("GET", "/balloon", None),
        ("PATCH", "/drives/data", {"drive_id": "data", "path_on_host": f"{HERE}/other"}),
        ("PATCH", "/drives/data", {"drive_id": "data", "path_on_host": MISSING}),
        ("PATCH", "/drives/none", {"drive_id": "none", "path_on_host": f"{HERE}/other"}),
        ("PATCH", "/network-interfaces/eth0", {"iface_id": "eth0"}),
        ("PATCH", "/drives/data", {"drive_id": "other", "path_on_host": f"{HERE}/other"}),
        ("PUT", "/actions", {"action_type": "FlushMetrics"}),
        RESUME,
        PAUSE,
        PAUSE,
        ("GET", "/", None),
        ("PUT", "/snapshot/create", STATE | {"snapshot_path": f"{HERE}/no/state"}),
        ("PUT", "/snapshot/create", STATE | {"snapshot_type": "Other"}),
        ("PUT", "/snapshot/create", STATE | {"snapshot_type": "Diff"}),
        RESUME,
        ("GET", "/", None),
        PAUSE,
        ("PUT", "/snapshot/create", STATE | {"snapshot_type": "Full"}),
    ],
    removed=("vsock",),
)
RESTORED = Life(
    "restored",
    [
        ("PUT", "/snapshot/load", LOAD | {"resume_vm": False}),
        ("GET", "/", None),
        ("GET", "/machine-config", None),
        ("GET", "/vm/config", None),
        ("PATCH", "/drives/data", {"drive_id": "data", "path_on_host": f"{HERE}/other"}),
        ("PUT", "/snapshot/load", LOAD),
        START,
        RESUME,
        ("GET", "/", None),
        ("GET", "/vm/config", None),
    ],
    removed=("vsock",),
)
RESUMED = Life(
    "restored and resumed",
    [("PUT", "/snapshot/load", LOAD | {"resume_vm": True}), ("GET", "/", None)],
    removed=("vsock",),
)
IN_THE_WAY = Life("a socket in the way of a restored one", [("PUT", "/snapshot/load", LOAD)])
NO_DISK = Life(
    "a restored one whose disk is missing",
    [("PUT", "/snapshot/load", LOAD)],
    removed=("vsock", "data", "other"),
)
NO_MEMORY = Life(
    "a restored one whose memory is missing",
    [("PUT", "/snapshot/load", LOAD)],
    removed=("vsock", "memory"),
)
NO_STATE = Life(
    "a restored one whose state is missing",
    [("PUT", "/snapshot/load", LOAD)],
    removed=("vsock", "state"),
)
CONFIGURATION = {
    "machine-config": MACHINE,
    "boot-source": SOURCE,
    "drives": [DATA],
    "vsock": {"guest_cid": 3, "uds_path": "vsock"},
    "entropy": {},
    "balloon": {"amount_mib": 0, "deflate_on_oom": True},
}
CONFIGURED = Life(
    "from a configuration",
    [
        ("GET", "/", None),
        ("GET", "/vm/config", None),
        START,
        PAUSE,
        ("PUT", "/snapshot/create", STATE | {"snapshot_type": "Diff"}),
    ],
    removed=("vsock",),
    machine=CONFIGURATION,
)
CONFIGURED_WRONGLY = Life(
    "from a configuration that is wrong",
    [("GET", "/", None)],
    removed=("vsock",),
    machine=CONFIGURATION | {"drives": [DATA | {"unknown": 1}]},
)
CONFIGURED_WITHOUT_DISK = Life(
    "from a configuration whose disk is missing",
    [("GET", "/", None)],
    removed=("vsock",),
    machine=CONFIGURATION | {"drives": [DATA | {"path_on_host": MISSING}]},
)
CONFIGURED_WITHOUT_KERNEL = Life(
    "from a configuration without a kernel",
    [("GET", "/", None)],
    removed=("vsock",),
    machine={name: part for name, part in CONFIGURATION.items() if name != "boot-source"},
)
NO_KERNEL = Life(
    "a kernel that is none",
    [
        ("PUT", "/boot-source", SOURCE | {"kernel_image_path": f"{HERE}/data"}),
        START,
        ("GET", "/", None),
    ],
)
LIVES = (
    NOT_STARTED,
    WRONG,
    NO_KERNEL,
    NEWER,
    CONFIGURED,
    CONFIGURED_WRONGLY,
    CONFIGURED_WITHOUT_DISK,
    CONFIGURED_WITHOUT_KERNEL,
    LIFE,
    RESTORED,
    RESUMED,
    IN_THE_WAY,
    NO_DISK,
    NO_MEMORY,
    NO_STATE,
)


class _Api(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_S)
        self.sock.connect(self._path)


def record(program: list[str], directory: Path) -> dict[str, Any]:
    """Return what a program answers; `directory` is empty, and the program's own."""
    (directory / "kernel").write_bytes(render_kernel(WAITS))
    for name in ("data", "other", "log", "metrics"):
        (directory / name).write_bytes(bytes(1024 * 1024) if name in ("data", "other") else b"")
    return {life.name: _live(program, directory, life) for life in LIVES}


def _live(program: list[str], directory: Path, life: Life) -> dict[str, Any]:
    for name in life.removed:
        (directory / name).unlink(missing_ok=True)
    path = directory / "api"
    path.unlink(missing_ok=True)
    words = ["--api-sock", str(path), "--id", "recorded"]
    if life.machine is not None:
        text = json.dumps(life.machine).replace(HERE, str(directory))
        (directory / "machine").write_text(text)
        words += ["--config-file", "machine"]
    with open(directory / "stdout", "ab") as out:
        process = subprocess.Popen(
            [*program, *words], cwd=directory, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        with contextlib.closing(_connect(str(path), process)) as api:
            answers = [_ask(api, step, directory) for step in life.steps]
        return {"answers": answers, "ended": _wait(process, answers[-1])}
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], last: dict[str, Any]) -> int | None:
    """Return the status of a process that ends by itself, as a failed start makes it do."""
    try:
        ends = last["status"] is None or FATAL in str(last["answer"])
        return process.wait(END_S if ends else ALIVE_S)
    except subprocess.TimeoutExpired:
        return None


def _connect(path: str, process: subprocess.Popen[bytes]) -> _Api:
    """Return a connection; one to nobody if the process has ended."""
    until = time.monotonic() + START_S
    while True:
        api = _Api(path)
        try:
            api.connect()
        except OSError:
            api.close()
            assert time.monotonic() < until, "it does not listen"
            if process.poll() is not None:
                return api
            time.sleep(0.02)
        else:
            return api


def _ask(api: _Api, step: Step, directory: Path) -> dict[str, Any]:
    method, path, body = step
    sent = None if body is None else json.dumps(body).replace(HERE, str(directory))
    told: dict[str, Any] = {"method": method, "path": path, "body": body}
    try:
        api.request(method, path, sent, {"Content-Type": "application/json"})
        answer = api.getresponse()
        said = answer.read().decode().replace(str(directory), HERE)
    except OSError:
        api.close()
        return told | {"status": None, "answer": None}
    return told | {"status": answer.status, "answer": json.loads(said) if said else None}


def render_kernel(code: bytes) -> bytes:
    """Return a kernel: a 64-bit ELF file with a PVH note, whose whole content is 32-bit code."""
    note = struct.pack("<III4sI", 4, 4, PVH_NOTE, b"Xen\0", LOAD_ADDRESS)
    headers = 64 + 2 * 56
    start, size = headers + len(note), len(code)
    ident = b"\x7fELF\x02\x01\x01"
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, 2, 62, 1, LOAD_ADDRESS, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 7, start, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 1)
    notes = struct.pack("<IIQQQQQQ", 4, 4, headers, 0, 0, len(note), len(note), 4)
    return header + load + notes + note + code


def load_heard(version: str) -> dict[str, Any]:
    """Return what a version of the real program was heard to answer."""
    file = Path(__file__).with_name(f"answers-{version}.json")
    heard: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return heard


def find_differences(heard: dict[str, Any], said: dict[str, Any]) -> list[str]:
    """Return where what a program said differs from what was heard.

    What Firecracker's JSON library says is not compared, only that it has refused; nor with which
    status it fails: 1.12.1 was seen to end with 1 and, stopped by its own seccomp filter, with 148
    in the same situation.
    """
    found = [f"{name}: missing" for name in heard if name not in said]
    for name, other in said.items():
        one = heard.get(name, {"answers": [], "ended": None})
        if _kind_of_end(one["ended"]) != _kind_of_end(other["ended"]):
            found.append(f"{name}: ended with {other['ended']}, not {one['ended']}")
        if len(one["answers"]) != len(other["answers"]):
            found.append(f"{name}: {len(other['answers'])} answers, not {len(one['answers'])}")
        pairs = zip(one["answers"], other["answers"], strict=False)
        found += [
            f"{name}: {b['method']} {b['path']}: {b['status']} {b['answer']}, not {a['answer']}"
            for a, b in pairs
            if _essence(a) != _essence(b)
        ]
    return found


def _kind_of_end(status: int | None) -> str:
    return "lives" if status is None else "ends" if status == 0 else "fails"


def _essence(told: dict[str, Any]) -> dict[str, Any]:
    answer = told["answer"]
    fault = answer.get("fault_message", "") if isinstance(answer, dict) else ""
    return told | {"answer": NOT_UNDERSTOOD} if fault.startswith(NOT_UNDERSTOOD) else told


if __name__ == "__main__":
    os.makedirs(sys.argv[2], exist_ok=True)
    print(json.dumps(record([sys.argv[1]], Path(sys.argv[2]).resolve()), indent=1))
