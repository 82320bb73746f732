"""What emulation costs programs: the same work on the host and in an emulated guest, in turns."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from banger.config import load_settings
from banger.vmm.qemu.probe import read_version
from banger.vmm.qemu.settings import QemuSettings
from tests.bench.result import Result
from tests.bench.stage import BANGER, Stage

ROUNDS = 3
FILES, FUNCTIONS = 4, 30
TASKS = {
    "compile": f"for n in $(seq {FILES}); do cc -O1 -c file$n.c; done",
    "200 runs of /bin/true": "n=0; while [ $n -lt 200 ]; do /bin/true; n=$((n + 1)); done",
    "10 starts of Python": "n=0; while [ $n -lt 10 ]; do python3 -c pass; n=$((n + 1)); done",
}
TIMED = 'cd "$1" && begun=$(date +%s%N) && {{ {task}; }} && echo $(($(date +%s%N) - begun))'
"""A shell script that prints the nanoseconds of a task: those of `vm exec` do not count."""
FUNCTION = """\
int work{number}(const int *values, int count)
{{
    int sum = {number};
    for (int i = 0; i < count; i++) {{
        if (values[i] % {divisor} == 0)
            sum += values[i] * {number};
        else
            sum ^= values[i] << {shift};
    }}
    switch (sum & 7) {{
    case 1: return sum + count;
    case 2: return sum - {number};
    case 5: return sum * sum;
    default: return sum;
    }}
}}
"""
GUEST_PROJECT = "/root/project"


def measure_emulation(stage: Stage) -> Result:
    """A C project's compilation, many short programs, and Python, against the host."""
    project = stage.directory / "project"
    _write_project(project)
    samples: dict[str, list[float]] = {}
    with _emulated(stage), stage.vm() as name:
        _copy_project(stage, project, name)
        for _ in range(ROUNDS):
            for task, command in TASKS.items():
                script = ["sh", "-c", TIMED.format(task=command), "sh"]
                on_host = stage.run(*script, str(project))
                in_guest = stage.run(BANGER, "vm", "exec", name, "--", *script, GUEST_PROJECT)
                samples.setdefault(f"{task}, host", []).append(int(on_host) / 1e9)
                samples.setdefault(f"{task}, guest", []).append(int(in_guest) / 1e9)
    result = Result(f"emulation by QEMU {_find_version(stage)}", "s", samples, "-")
    for task in TASKS:
        ratio = result.median(f"{task}, guest") / result.median(f"{task}, host")
        result.figures[f"{task}: guest / host"] = ratio
    return result


@contextlib.contextmanager
def _emulated(stage: Stage) -> Iterator[None]:
    """Emulate guests for a block, also on a host with KVM."""
    before = dict(stage.environ)
    stage.environ["BANGER_ACCEL"] = "tcg"
    try:
        yield
    finally:
        stage.environ.clear()
        stage.environ.update(before)


def _find_version(stage: Stage) -> str:
    settings = load_settings(Path(os.devnull), stage.environ)
    return ".".join(map(str, asyncio.run(read_version(settings.of(QemuSettings).binary))))


def _write_project(project: Path) -> None:
    """Write files of C that differ in their numbers only, the same each time."""
    project.mkdir()
    for file in range(1, FILES + 1):
        functions = (
            FUNCTION.format(number=number, divisor=number + file, shift=number % 8)
            for number in range(1, FUNCTIONS + 1)
        )
        (project / f"file{file}.c").write_text("\n".join(functions))


def _copy_project(stage: Stage, project: Path, vm: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(project, ".")
    unpack = f"mkdir {GUEST_PROJECT} && tar -x -C {GUEST_PROJECT}"
    argv = ("vm", "exec", "-i", vm, "--", "sh", "-c", unpack)
    stage.banger(*argv, stdin=buffer.getvalue())
