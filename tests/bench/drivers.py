"""What VMs of a driver cost, by the command that a user has.

A program of its own, which also runs in the emulated host: standard library only.

    python3 drivers.py SCENARIO COUNT -- FLAGS...

FLAGS are those of `vm create`. Prints a JSON document: samples by label. Ends its VMs, not the
daemon. A scenario may also be a program of another project: `msb`, microsandbox's.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

Samples = dict[str, list[float]]
DEADLINE_S = 900
SETTLE_S = 20.0
VM = "bench"
FORKS = 4
BOOT = "run with a boot"


def run(*words: str) -> str:
    """Run a program that has to succeed; return what it says."""
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: status {done.returncode}\n{done.stderr}")
    return done.stdout


def banger(*words: str) -> str:
    """Run a command of ours."""
    return run("banger", *words)


def time_ms(*words: str) -> float:
    """Return how long a program takes."""
    started = time.perf_counter()
    run(*words)
    return (time.perf_counter() - started) * 1000


@contextlib.contextmanager
def vms(*names: str) -> Iterator[None]:
    """Delete the VMs of these names when the block ends."""
    try:
        yield
    finally:
        there = {view["name"] for view in json.loads(banger("vm", "list", "--json"))}
        if left := there.intersection(names):
            banger("vm", "delete", *sorted(left))


def measure_start(count: int, flags: Sequence[str]) -> Samples:
    """A whole run, of a clone and with a boot: made, one command, deleted."""
    start, command = ("banger", "vm", "run", "--rm"), (*flags, "--", "true")
    run(*start, *command)  # makes the template
    found: Samples = {"run of a clone": [], BOOT: []}
    for _ in range(count):
        found["run of a clone"].append(time_ms(*start, *command))
        found[BOOT].append(time_ms(*start, "--no-template", *command))
    return found


def measure_clone(count: int, flags: Sequence[str]) -> Samples:
    """A clone until it is handed out, and the first command in it."""
    banger("vm", "run", "--rm", *flags, "--", "true")  # makes the template
    found: Samples = {"clone, handed out": [], "its first command": []}
    for _ in range(count):
        with vms(VM):
            found["clone, handed out"].append(
                time_ms("banger", "vm", "create", "--name", VM, *flags)
            )
            found["its first command"].append(time_ms("banger", "vm", "exec", VM, "--", "true"))
    return found


def measure_exec(count: int, flags: Sequence[str]) -> Samples:
    """A command in a VM that has run some."""
    with vms(VM):
        banger("vm", "create", "--name", VM, *flags)
        times = [time_ms("banger", "vm", "exec", VM, "--", "true") for _ in range(count + 2)]
    return {"command": times[2:]}


def measure_fork(count: int, flags: Sequence[str]) -> Samples:
    """One fork, and FORKS at once, of a running VM."""
    names = [f"{VM}-fork-{number + 1}" for number in range(FORKS)]
    found: Samples = {"one fork": [], f"{FORKS} forks": []}
    with vms(VM):
        banger("vm", "create", "--name", VM, *flags)
        for _ in range(count):
            for label, number in (("one fork", 1), (f"{FORKS} forks", FORKS)):
                fork = ("banger", "vm", "fork", VM, "-n", str(number), "--name", f"{VM}-fork")
                with vms(f"{VM}-fork", *names):
                    found[label].append(time_ms(*fork))
    return found


def measure_restore(count: int, flags: Sequence[str]) -> Samples:
    """A snapshot of a running VM, and the VM taken back to it."""
    found: Samples = {"snapshot": [], "restore": []}
    with vms(VM):
        banger("vm", "create", "--name", VM, *flags)
        for number in range(count):
            name = f"s{number}"
            found["snapshot"].append(time_ms("banger", "vm", "snapshot", "create", VM, name))
            found["restore"].append(time_ms("banger", "vm", "snapshot", "restore", VM, name))
            banger("vm", "snapshot", "delete", VM, name)
    return found


def measure_density(count: int, flags: Sequence[str]) -> Samples:
    """Memory of idle clones, of all processes of each: Pss, so that shared pages are divided."""
    names = [f"{VM}-{number}" for number in range(count)]
    with vms(*names):
        for name in names:
            # Together they are promised more memory than the host may have.
            banger("vm", "create", "--force", "--name", name, *flags)
        time.sleep(SETTLE_S)
        views = json.loads(banger("vm", "list", "--json"))
        found = [weigh_vm(view["id"]) for view in views if view["name"] in names]
    samples: Samples = {"idle clone": [sum(programs.values()) for programs in found]}
    for program in sorted({program for programs in found for program in programs}):
        samples[f"of it {program}"] = [programs.get(program, 0.0) for programs in found]
    return samples


def measure_msb(count: int, flags: Sequence[str]) -> Samples:
    """A whole run by microsandbox, of the same root without a network; {} where it is missing."""
    if not shutil.which("msb"):
        return {}
    with tempfile.TemporaryDirectory(dir=Path.home()) as directory:
        root = f"{directory}/root"
        # Only root can own its files as the image has them; that is no error here.
        run("unsquashfs", "-no-progress", "-no-exit-code", "-dest", root, str(find_root(flags)))
        shape = ("--memory", get_flag(flags, "--memory"), "--cpus", get_flag(flags, "--vcpu"))
        start = ("msb", "run", "--no-net", "--no-stdin", *shape, root, "--", "/bin/true")
        run(*start)  # makes its directories
        return {BOOT: [time_ms(*start) for _ in range(count)]}


def find_root(flags: Sequence[str]) -> Path:
    """Return the squashfs of the image that these flags name, or of the default one."""
    default = json.loads(banger("config", "show", "--json"))["default_image"]["value"]
    image = get_flag(flags, "--image", default)
    digest = json.loads(banger("image", "show", image, "--json"))["digest"]
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return data / "banger/images" / digest / "root.squashfs"


def get_flag(flags: Sequence[str], name: str, default: str = "") -> str:
    """Return what a flag is given, or the default."""
    return flags[flags.index(name) + 1] if name in flags else default


def weigh_vm(vm_id: str) -> dict[str, float]:
    """Return the MiB of a VM's processes, which name it in their arguments, by program."""
    found: dict[str, float] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if vm_id in (process / "cmdline").read_bytes().decode("utf-8", "replace"):
                name = (process / "comm").read_text().strip()
                found[name] = found.get(name, 0.0) + read_pss_mib(process)
    return found


def read_pss_mib(process: Path) -> float:
    """Return the proportional set size of a process."""
    rollup = (process / "smaps_rollup").read_text("ascii")
    pss = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(pss[1]) / 1024 if pss else 0.0


SCENARIOS = {
    "start": measure_start,
    "clone": measure_clone,
    "exec": measure_exec,
    "fork": measure_fork,
    "restore": measure_restore,
    "density": measure_density,
}
RIVALS = {"msb": measure_msb}


def main(words: list[str]) -> int:
    """Measure one scenario."""
    scenario, count, _, *flags = words
    # Of a daemon that this starts: clones are made on demand.
    os.environ["BANGER_TEMPLATE_POOL"] = "0"
    print(json.dumps((SCENARIOS | RIVALS)[scenario](int(count), flags)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
