"""ssh commands and bytes against `vm exec`, which goes to the same agent without ssh."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from tests.bench.result import Result
from tests.bench.stage import BANGER, Stage

COMMANDS = 20
BYTES = 32 * 1000 * 1000
COPIES = 3
Ways = dict[str, Sequence[str]]


def measure_ssh(stage: Stage) -> Result:
    """`ssh NAME.vm`, alone and over a connection that stands, against `vm exec`; in turns."""
    config = stage.directory / "ssh_config"
    config.write_bytes(stage.banger("ssh-config"))
    samples: dict[str, list[float]] = {}
    with stage.vm() as name:
        ssh = ["ssh", "-F", str(config)]
        ways: Ways = {
            "exec": [BANGER, "vm", "exec", "-i", name, "--", "sh", "-c"],
            "ssh": [*ssh, f"{name}.vm"],
        }
        with _shared(stage, ssh, name) as shared:
            _time_commands(stage, ways | {"ssh, shared": shared}, samples)
        _time_bytes(stage, ways, samples)
    result = Result(
        "commands and 32 MB by ssh", "s", samples, "ssh at most 1.5x exec, its bytes 2x"
    )
    for what in ("true", "out", "in"):
        against = result.median(f"exec {what}")
        result.figures[f"ssh / exec {what}"] = result.median(f"ssh {what}") / against
    shared_s = result.median("ssh, shared true")
    result.figures["ssh, shared / exec true"] = shared_s / result.median("exec true")
    return result


@contextlib.contextmanager
def _shared(stage: Stage, ssh: Sequence[str], name: str) -> Iterator[list[str]]:
    """How to run a command over one connection, which stands for a block."""
    words = [*ssh, "-o", f"ControlPath={stage.directory / 'mux'}"]
    stage.run(*words, "-fNM", f"{name}.vm")
    try:
        yield [*words, f"{name}.vm"]
    finally:
        stage.run(*words, "-O", "exit", f"{name}.vm")


def _time_commands(stage: Stage, ways: Ways, samples: dict[str, list[float]]) -> None:
    for argv in ways.values():  # does not count
        stage.time([*argv, "true"])
    for _ in range(COMMANDS):
        for label, argv in ways.items():
            samples.setdefault(f"{label} true", []).append(stage.time([*argv, "true"]))


def _time_bytes(stage: Stage, ways: Ways, samples: dict[str, list[float]]) -> None:
    """Time `cat` in the guest, both ways."""
    noise = os.urandom(BYTES)
    for _ in range(COPIES):
        for label, argv in ways.items():
            taken = stage.time([*argv, "cat > /root/noise"], stdin=noise)
            samples.setdefault(f"{label} in", []).append(taken)
            given = stage.time([*argv, "cat /root/noise"])
            samples.setdefault(f"{label} out", []).append(given)
