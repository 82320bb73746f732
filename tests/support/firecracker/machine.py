"""What the stand-in does with each request: the states and refusals of the real program.

Requests are checked against the description of the API, without what the version that it says to be
does not know. What it answers was heard from Firecracker 1.12.1 (`answers-1.12.1.json`); a test
compares. Of its files it reads and writes what the real one does: kernel, disks, snapshot.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

from banger.vmm.firecracker.versions import Feature, features_of, parse_version
from tests.support.firecracker import faults
from tests.support.firecracker.description import Description, Deviation, OtherResource
from tests.support.firecracker.faults import NOT_UNDERSTOOD, Fatal, Refused
from tests.support.firecracker.guest import Guest
from tests.support.firecracker.memory import Memory
from tests.support.firecracker.processor import run_kernel

Body = dict[str, Any]
MIB = 1024 * 1024
MOST_VCPUS = 32
SMALL_KERNEL = 64 * 1024
NAME = re.compile(r"\w+")
MAGIC = "a stand-in's snapshot"

LATER_FIELDS = {
    ("/balloon", "free_page_reporting"): Feature.FREE_PAGES,
    ("/snapshot/load", "track_dirty_pages"): Feature.TRACK_AFTER_LOAD,
    ("/snapshot/load", "vsock_override"): Feature.VSOCK_OVERRIDE,
    ("/snapshot/load", "clock_realtime"): Feature.CLOCK_REALTIME,
}
LATER_PATHS = {"/serial": Feature.SERIAL}


class State(StrEnum):
    """What a machine does."""

    NOT_STARTED = "Not started"
    RUNNING = "Running"
    PAUSED = "Paused"


class Machine:
    """One machine, from nothing to its end."""

    def __init__(self, *, version: str, name: str, agent: str, description: Description) -> None:
        self.version = version
        self.name = name
        self.state = State.NOT_STARTED
        self.ended = asyncio.Event()
        self.status = 0
        """Of the program, when it has ended."""
        self.guest: Guest | None = None
        self.memory: Memory | None = None
        self._agent = agent
        self._features = features_of(parse_version(version))
        self._description = description
        self._was_configured = False
        self._config: Body = {
            "machine-config": {"vcpu_count": 1, "mem_size_mib": 128},
            "drives": {},
            "network-interfaces": {},
        }

    @property
    def has_started(self) -> bool:
        return self.state is not State.NOT_STARTED

    async def answer(self, method: str, path: str, raw: bytes) -> tuple[int, bytes | None]:
        """Return the status and the body of the answer to a request."""
        try:
            reply = await self._handle(method, path, raw)
        except Refused as refusal:
            if isinstance(refusal, Fatal):
                self._end(1)
            return 400, json.dumps({"fault_message": str(refusal)}).encode()
        status = 204 if reply is None else 200
        self._description.check_reply(method, path, status, reply)
        return status, None if reply is None else json.dumps(reply).encode()

    def _end(self, status: int) -> None:
        self.status = status
        self.ended.set()

    async def _handle(self, method: str, path: str, raw: bytes) -> object:
        if method == "GET" and raw:
            raise Refused(faults.BODY_OF_GET)
        action, when = self._find_action(method, path)
        if method != "GET" and not raw:
            raise Refused(faults.EMPTY.format(method=method))
        body = self._parse(method, path, raw) if raw else {}
        if when is not None and when != self.has_started:
            raise Refused(faults.BEFORE if when else faults.AFTER)
        return await action(self, body)

    def _find_action(self, method: str, path: str) -> tuple[Action, bool | None]:
        words = path.strip("/").split("/")
        whole, collection = (method, path), (method, f"/{words[0]}/")
        known = LATER_PATHS.get(path)
        found = ACTIONS.get(whole) or (ACTIONS.get(collection) if len(words) == 2 else None)
        if found is None or (known is not None and known not in self._features):
            raise Refused(faults.UNKNOWN_PATH.format(method=method, first=words[0]))
        return found

    def _parse(self, method: str, path: str, raw: bytes) -> Body:
        if not NAME.fullmatch(path.rpartition("/")[2]) and (method, path) not in ACTIONS:
            raise Refused(faults.WRONG_ID)
        try:
            body: Body = json.loads(raw)
            self._description.check_request(method, path, body)
        except OtherResource as error:
            raise Refused(faults.OTHER_ID) from error
        except (ValueError, Deviation) as error:
            is_count = path == "/machine-config" and type(body.get("vcpu_count")) is int
            wrong = is_count and not 1 <= body["vcpu_count"] <= MOST_VCPUS
            raise Refused(faults.VCPU_COUNT if wrong else f"{NOT_UNDERSTOOD}{error}") from error
        if path == "/snapshot/load" and "mem_backend" not in body:
            raise Refused(faults.NO_BACKEND)
        for field in body:
            feature = LATER_FIELDS.get((path, field))
            if feature is not None and feature not in self._features:
                raise Refused(f"{NOT_UNDERSTOOD}unknown field `{field}`")
        return body

    # --- questions ---------------------------------------------------------------------------

    async def _describe(self, _: Body) -> Body:
        return {
            "id": self.name,
            "state": self.state.value,
            "vmm_version": self.version,
            "app_name": "Firecracker",
        }

    async def _tell_version(self, _: Body) -> Body:
        return {"firecracker_version": self.version}

    async def _tell_configuration(self, _: Body) -> Body:
        source = {"kernel_image_path": "", "initrd_path": None, "boot_args": None}
        empty = ("balloon", "cpu-config", "logger", "metrics", "mmds-config", "vsock", "entropy")
        told = dict.fromkeys(empty) | {"boot-source": source} | self._config
        told |= {name: list(self._config[name].values()) for name in COLLECTIONS}
        machine = await self._tell_machine({})
        return told | {"logger": None, "metrics": None, "machine-config": machine}

    async def _tell_machine(self, _: Body) -> Body:
        machine: Body = self._config["machine-config"]
        return {"smt": False, "track_dirty_pages": False, "huge_pages": "None"} | machine

    async def _tell_balloon(self, _: Body) -> Body:
        return self._require_balloon(faults.NO_BALLOON[self.has_started])

    async def _tell_statistics(self, _: Body) -> Body:
        balloon = self._require_balloon(faults.NO_BALLOON[True])
        if not balloon["stats_polling_interval_s"]:
            raise Refused(faults.NO_STATISTICS)
        mib = balloon["amount_mib"]
        pages = mib * MIB // 4096
        return {
            "target_pages": pages,
            "actual_pages": pages,
            "target_mib": mib,
            "actual_mib": mib,
        }

    def _require_balloon(self, fault: str) -> Body:
        if "balloon" not in self._config:
            raise Refused(fault)
        balloon: Body = self._config["balloon"]
        return balloon

    # --- before the start --------------------------------------------------------------------

    def _configure(self, section: str, config: Body) -> None:
        self._was_configured = True
        self._config[section] = config

    async def _put_machine(self, body: Body) -> None:
        self._was_configured = True
        if not body["mem_size_mib"]:
            raise Refused(faults.MEMORY_SIZE)
        self._configure("machine-config", body)

    async def _put_source(self, body: Body) -> None:
        self._was_configured = True
        _require_file(body["kernel_image_path"], faults.KERNEL)
        if "initrd_path" in body:
            _require_file(body["initrd_path"], faults.INITRD)
        self._configure("boot-source", {"initrd_path": None, "boot_args": None} | body)

    async def _put_drive(self, body: Body) -> None:
        self._was_configured = True
        if "path_on_host" not in body or "is_read_only" not in body:
            raise Refused(faults.DRIVE_CONFIG)
        _require_file(body["path_on_host"], faults.DRIVE)
        drive = {"partuuid": None, "cache_type": "Unsafe", "io_engine": "Sync", "socket": None}
        self._config["drives"][body["drive_id"]] = drive | {"rate_limiter": None} | body

    async def _put_interface(self, body: Body) -> None:
        self._was_configured = True
        self._config["network-interfaces"][body["iface_id"]] = body

    async def _put_vsock(self, body: Body) -> None:
        self._was_configured = True
        await self._listen(body["uds_path"], faults.VSOCK, is_restored=False)
        self._configure("vsock", body)

    async def _put_entropy(self, body: Body) -> None:
        self._configure("entropy", {"rate_limiter": None} | body)

    async def _put_balloon(self, body: Body) -> None:
        self._was_configured = True
        if body["amount_mib"] > self._config["machine-config"]["mem_size_mib"]:
            raise Refused(faults.BALLOON_SIZE)
        self._configure("balloon", {"stats_polling_interval_s": 0} | body)

    async def _put_serial(self, body: Body) -> None:
        if "serial_out_path" in body:
            Path(body["serial_out_path"]).touch()

    async def _put_log(self, body: Body) -> None:
        if "log_path" in body:
            _require_file(body["log_path"], faults.LOG)

    async def _put_metrics(self, body: Body) -> None:
        _require_file(body["metrics_path"], faults.METRICS_FILE)
        if "metrics" in self._config:
            raise Refused(faults.METRICS_TWICE)
        self._config["metrics"] = body

    async def _listen(self, uds_path: str, fault: str, *, is_restored: bool) -> None:
        resets = is_restored and Feature.VSOCK_OVERRIDE not in self._features
        guest = Guest(self._agent, resets_first=resets, on_reset=lambda: self._end(0))
        try:
            await guest.listen(uds_path)
        except OSError as error:
            raise Refused(fault.format(why=_why(error), path=uds_path)) from error
        if self.guest is not None:
            self.guest.close()
        self.guest = guest

    async def _act(self, body: Body) -> None:
        if body["action_type"] == "FlushMetrics":
            if not self.has_started:
                raise Refused(faults.BEFORE)
            return
        if self.has_started:
            raise Refused(faults.AFTER)
        await self._start()

    async def _start(self) -> None:
        if "boot-source" not in self._config:
            raise Refused(faults.NO_KERNEL)
        kernel = Path(self._config["boot-source"]["kernel_image_path"]).read_bytes()
        if not kernel.startswith(b"\x7fELF"):
            raise Refused(faults.KERNEL_IMAGE)
        self.memory = Memory(self._config["machine-config"]["mem_size_mib"] * MIB)
        # A real kernel is not run: its guest is the agent.
        said, resets = run_kernel(kernel) if len(kernel) < SMALL_KERNEL else (b"", False)
        os.write(sys.stdout.fileno(), said)
        await self._run()
        if resets:
            self._end(0)

    async def _run(self) -> None:
        assert self.memory is not None
        self.memory.change()
        if self.guest is not None:
            await self.guest.run()
        self.state = State.RUNNING

    async def start_from(self, configuration: Body) -> None:
        """Configure and start the machine as a file has it (`--config-file`); a Refused if not."""
        for section in ("boot-source", "drives"):
            if section not in configuration:
                raise Refused(f"Invalid JSON: missing field `{section}`")
        for section, (path, name) in SECTIONS.items():
            parts = configuration.get(section)
            parts = [] if parts is None else [parts]
            for part in parts[0] if parts and isinstance(parts[0], list) else parts:
                await self._handle("PUT", path + part.get(name, ""), json.dumps(part).encode())
        await self._start()

    # --- after the start ---------------------------------------------------------------------

    async def _set_activity(self, body: Body) -> None:
        if body["state"] == "Resumed":
            await self._run()
            return
        if self.state is State.RUNNING and self.guest is not None:
            self.guest.pause()
        self.state = State.PAUSED

    async def _patch_drive(self, body: Body) -> None:
        drive = self._config["drives"].get(body["drive_id"])
        if drive is None:
            raise Refused(faults.UNKNOWN_DRIVE)
        if "path_on_host" in body:
            _require_file(body["path_on_host"], faults.PATCHED_DRIVE)
            drive |= body

    async def _patch_interface(self, body: Body) -> None:
        if body["iface_id"] not in self._config["network-interfaces"]:
            raise Refused(faults.UNKNOWN_INTERFACE)

    async def _patch_balloon(self, body: Body) -> None:
        self._require_balloon(faults.PATCHED_BALLOON).update(body)

    async def _patch_statistics(self, body: Body) -> None:
        balloon = self._require_balloon(faults.PATCHED_BALLOON)
        if not balloon["stats_polling_interval_s"] or not body["stats_polling_interval_s"]:
            raise Refused(faults.STATISTICS_SWITCH)
        balloon |= body

    async def _create_snapshot(self, body: Body) -> None:
        if self.state is not State.PAUSED:
            raise Refused(faults.RUNNING_SNAPSHOT)
        saved = {"magic": MAGIC, "version": self.version, "config": self._config}
        try:
            Path(body["snapshot_path"]).write_text(json.dumps(saved))
        except OSError as error:
            raise Refused(faults.SNAPSHOT.format(why=_why(error))) from error
        assert self.memory is not None
        only_changed = body.get("snapshot_type") == "Diff"
        await asyncio.to_thread(self.memory.write, body["mem_file_path"], only_changed=only_changed)
        if self.guest is not None:
            self.guest.drop_connections()

    async def _load_snapshot(self, body: Body) -> None:
        if self._was_configured:
            raise Refused(faults.LOAD_TOO_LATE)
        config = _load_state(body["snapshot_path"])
        path = body["mem_backend"]["backend_path"]
        _require_file(path, faults.MEMORY, Fatal)
        size = config["machine-config"]["mem_size_mib"] * MIB
        assert os.path.getsize(path) == size
        self.memory = Memory(size, path)
        tracks = body.get("track_dirty_pages", body.get("enable_diff_snapshots", False))
        config["machine-config"]["track_dirty_pages"] = tracks
        config.pop("metrics", None)
        self._config = config
        await self._restore_devices(body)
        self.state = State.PAUSED
        if body.get("resume_vm"):
            await self._run()

    async def _restore_devices(self, body: Body) -> None:
        for drive in self._config["drives"].values():
            _require_file(drive["path_on_host"], faults.RESTORED_DRIVE, Fatal)
        for override in body.get("network_overrides", []):
            self._config["network-interfaces"][override["iface_id"]] |= override
        if vsock := self._config.get("vsock"):
            vsock |= body.get("vsock_override", {})
            try:
                await self._listen(vsock["uds_path"], faults.RESTORED_VSOCK, is_restored=True)
            except Refused as error:
                raise Fatal(str(error)) from error


def _load_state(path: str) -> Body:
    _require_file(path, faults.STATE, Fatal)
    try:
        saved = json.loads(Path(path).read_bytes())
        assert saved["magic"] == MAGIC
    except (ValueError, LookupError, AssertionError) as error:
        raise Fatal(f"{faults.LOAD}{error!r}") from error
    config: Body = saved["config"]
    return config


def _require_file(path: str, fault: str, kind: type[Refused] = Refused) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise kind(fault.format(why=_why(error), path=path)) from error


def _why(error: OSError) -> str:
    """Say why as musl does, which Firecracker is linked with."""
    said = "Address in use" if error.errno == errno.EADDRINUSE else error.strerror
    return f"{said} (os error {error.errno})"


COLLECTIONS = ("drives", "network-interfaces")
SECTIONS = {
    "machine-config": ("/machine-config", ""),
    "boot-source": ("/boot-source", ""),
    "drives": ("/drives/", "drive_id"),
    "network-interfaces": ("/network-interfaces/", "iface_id"),
    "vsock": ("/vsock", ""),
    "entropy": ("/entropy", ""),
    "balloon": ("/balloon", ""),
    "logger": ("/logger", ""),
    "metrics": ("/metrics", ""),
}
"""Of a configuration file: the path of a request that says the same, and what ends it."""
Action = Callable[[Machine, Body], Awaitable[object]]
ACTIONS: dict[tuple[str, str], tuple[Action, bool | None]] = {
    ("GET", "/"): (Machine._describe, None),
    ("GET", "/version"): (Machine._tell_version, None),
    ("GET", "/vm/config"): (Machine._tell_configuration, None),
    ("GET", "/machine-config"): (Machine._tell_machine, None),
    ("GET", "/balloon"): (Machine._tell_balloon, None),
    ("GET", "/balloon/statistics"): (Machine._tell_statistics, True),
    ("PUT", "/machine-config"): (Machine._put_machine, False),
    ("PUT", "/boot-source"): (Machine._put_source, False),
    ("PUT", "/drives/"): (Machine._put_drive, False),
    ("PUT", "/network-interfaces/"): (Machine._put_interface, False),
    ("PUT", "/vsock"): (Machine._put_vsock, False),
    ("PUT", "/entropy"): (Machine._put_entropy, False),
    ("PUT", "/balloon"): (Machine._put_balloon, False),
    ("PUT", "/serial"): (Machine._put_serial, False),
    ("PUT", "/logger"): (Machine._put_log, False),
    ("PUT", "/metrics"): (Machine._put_metrics, False),
    ("PUT", "/actions"): (Machine._act, None),
    ("PUT", "/snapshot/load"): (Machine._load_snapshot, False),
    ("PUT", "/snapshot/create"): (Machine._create_snapshot, True),
    ("PATCH", "/vm"): (Machine._set_activity, True),
    ("PATCH", "/drives/"): (Machine._patch_drive, True),
    ("PATCH", "/network-interfaces/"): (Machine._patch_interface, True),
    ("PATCH", "/balloon"): (Machine._patch_balloon, True),
    ("PATCH", "/balloon/statistics"): (Machine._patch_statistics, True),
}
"""By method and path (of a collection: up to the name), and whether after or before the start."""
