"""What is measured. Each scenario returns its samples and the ratio that its bar is about."""

from __future__ import annotations

import io
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.clones import measure_claim, measure_clone, measure_forks, measure_memory
from tests.bench.copies import measure_copies
from tests.bench.cycles import measure_cycles
from tests.bench.durability import measure_journal, measure_recovery
from tests.bench.emulation import measure_emulation
from tests.bench.load import measure_load
from tests.bench.names import measure_links
from tests.bench.ports import measure_ports
from tests.bench.pulls import measure_pulls
from tests.bench.result import Result
from tests.bench.sdk import measure_sdk
from tests.bench.ssh import measure_ssh
from tests.bench.stage import BANGER, Stage
from tests.bench.streams import measure_streams
from tests.bench.warm import measure_warm_run
from tests.support.repositories import make_repository


def measure_client(stage: Stage) -> Result:
    """The command's own start, against bare Python; interleaved, so that noise hits all alike."""
    stage.banger("kernel", "pull", "debian-cloud")  # starts the daemon
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "banger version": [BANGER, "version"],
        "banger vm list": [BANGER, "vm", "list"],
    }
    samples: dict[str, list[float]] = {label: [] for label in commands}
    for argv in commands.values():
        stage.time(argv)
    for _ in range(20):
        for label, argv in commands.items():
            samples[label].append(stage.time(argv) * 1000)
    result = Result("client start", "ms", samples, "version at most 4x python; list 1.5x version")
    python, version = result.median("python -c pass"), result.median("banger version")
    result.figures["version / python"] = version / python
    result.figures["list / version"] = result.median("banger vm list") / version
    return result


def measure_many_vms(stage: Stage) -> Result:
    """`vm list` and the daemon's memory with 200 records."""
    for number in range(200):
        stage.banger("vm", "create", "--no-start", "--disk", "64M", "--name", f"many-{number}")
    samples: dict[str, list[float]] = {"banger version": [], "banger vm list (200)": []}
    for _ in range(20):
        samples["banger version"].append(stage.time([BANGER, "version"]) * 1000)
        samples["banger vm list (200)"].append(stage.time([BANGER, "vm", "list"]) * 1000)
    resident = stage.json("daemon", "status")["resident_mib"]
    stage.banger("vm", "delete", *(f"many-{number}" for number in range(200)))
    result = Result(
        "200 VM records", "ms", samples, "list at most 1.5x version; daemon under 100 MiB"
    )
    result.figures["list / version"] = result.median("banger vm list (200)") / result.median(
        "banger version"
    )
    result.figures["daemon MiB"] = resident
    return result


def measure_cold_run(stage: Stage) -> Result:
    """A whole cold `vm run`: make, boot, first command, delete."""
    run = [BANGER, "vm", "run", "--rm", "--no-template", "--", "true"]
    return Result("cold vm run --rm -- true", "s", {"whole run": stage.sample(run, 5)}, "-")


_SPAWN = """
import os, statistics, time
samples = []
for _ in range(20):
    started = time.perf_counter()
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    samples.append((time.perf_counter() - started) * 1000)
print(*samples)
"""


def measure_exec(stage: Stage) -> Result:
    """`vm exec -- true` against a bare posix_spawn inside the same guest."""
    with stage.vm() as name:
        spawn = stage.banger("vm", "exec", name, "--", "python3", "-c", _SPAWN)
        samples = {
            "posix_spawn in the guest": [float(word) for word in spawn.split()],
            "banger vm exec": [
                s * 1000 for s in stage.sample([BANGER, "vm", "exec", name, "--", "true"], 20)
            ],
        }
        resident = stage.json("daemon", "status")["resident_mib"]
    result = Result("exec round trip", "ms", samples, "at most 3x the spawn plus 100 ms")
    allowed = 3 * result.median("posix_spawn in the guest") + 100
    result.figures["exec / allowed"] = result.median("banger vm exec") / allowed
    result.figures["daemon MiB with one VM"] = resident
    return result


def measure_workspace(stage: Stage) -> Result:
    """Prepare of 5,000 files and 60 MB against tar of the same files; then its export."""
    top = stage.directory / "repository"
    make_repository(top, files=5000, total_mib=60)
    plain = _tar_of(top)
    samples: dict[str, list[float]] = {"prepare": [], "tar": [], "export": []}
    with stage.vm() as name:
        for number in range(3):
            unpack = f"mkdir /root/plain{number}; tar -x -C /root/plain{number}; sync"
            argv = [BANGER, "vm", "exec", "-i", name, "--", "sh", "-c", unpack]
            samples["tar"].append(stage.time(argv, stdin=plain))
            prepare = [BANGER, "vm", "workspace", "prepare", name, str(top)]
            prepare += ["--guest-path", f"/root/prepared{number}"]
            started = time.perf_counter()
            stage.run(*prepare)
            stage.banger("vm", "exec", name, "--", "sync")
            samples["prepare"].append(time.perf_counter() - started)
            names = "git ls-files | grep -E '^[A-Za-z0-9_./-]+$' | head -100"
            change = f"for f in $({names}); do echo x >> $f; done"
            stage.banger("vm", "exec", name, "--", "sh", "-c", change)
            export = [BANGER, "vm", "workspace", "export", name, "-o"]
            samples["export"].append(stage.time([*export, str(stage.directory / "patch")]))
    result = Result("workspace of 5,000 files, 60 MB", "s", samples, "prepare at most 2x tar")
    result.figures["prepare / tar"] = result.median("prepare") / result.median("tar")
    return result


def _tar_of(top: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(top, ".", filter=lambda member: None if "/.git" in member.name else member)
    return buffer.getvalue()


SCENARIOS: dict[str, Callable[[Stage], Result]] = {
    "client": measure_client,
    "many": measure_many_vms,
    "load": measure_load,
    "cold": measure_cold_run,
    "warm": measure_warm_run,
    "sdk": measure_sdk,
    "clone": measure_clone,
    "claim": measure_claim,
    "forks": measure_forks,
    "cycles": measure_cycles,
    "memory": measure_memory,
    "emulation": measure_emulation,
    "exec": measure_exec,
    "copies": measure_copies,
    "links": measure_links,
    "ports": measure_ports,
    "ssh": measure_ssh,
    "streams": measure_streams,
    "workspace": measure_workspace,
    "journal": measure_journal,
    "recovery": measure_recovery,
    "pulls": measure_pulls,
}
