"""What clones and forks cost: time until they are handed out, and memory of their own."""

from __future__ import annotations

import time

from banger.client import Client
from banger.layout import layout_from_environment
from tests.bench.result import Result
from tests.bench.stage import BANGER, Stage

IDLE_S = 8.0
SHAPE = ("--memory", "1G")


def measure_clone(stage: Stage) -> Result:
    """One `vm.create` over the API: the agent has answered, and confirmed who it is, by its end."""
    stage.banger("vm", "run", "--rm", *SHAPE, "--", "true")  # the template
    samples: list[float] = []
    with Client(layout_from_environment(stage.environ)) as client:
        for _ in range(11):
            started = time.perf_counter()
            view = client.call("vm.create", {"memory_mib": 1024})
            samples.append((time.perf_counter() - started) * 1000)
            assert isinstance(view, dict)
            client.call("vm.delete", {"ref": view["id"]})
    bar = "until the agent answers: under 300 ms"
    return Result("clone, handed out", "ms", {"vm.create": samples[1:]}, bar)


def measure_claim(stage: Stage) -> Result:
    """The same where a clone waits for whoever asks."""
    samples: list[float] = []
    with stage.pool():
        for _ in range(2):
            stage.banger("vm", "run", "--rm", *SHAPE, "--", "true")  # in use from now on
        with Client(layout_from_environment(stage.environ)) as client:
            for _ in range(10):
                while not stage.json("template", "list")[0]["waiting"]:
                    time.sleep(0.1)
                started = time.perf_counter()
                view = client.call("vm.create", {"memory_mib": 1024})
                samples.append((time.perf_counter() - started) * 1000)
                assert isinstance(view, dict)
                client.call("vm.delete", {"ref": view["id"]})
    return Result("claim, handed out", "ms", {"vm.create, claimed": samples}, "-")


def measure_forks(stage: Stage) -> Result:
    """One fork and four of a running VM, in turns."""
    samples: dict[str, list[float]] = {"one fork": [], "four forks": []}
    with stage.vm(*SHAPE) as name:
        for _ in range(11):
            for label, number in (("one fork", "1"), ("four forks", "4")):
                argv = [BANGER, "vm", "fork", name, "-n", number, "--name", "bench-fork"]
                samples[label].append(stage.time(argv) * 1000)
                names = (f"bench-fork-{n + 1}" for n in range(int(number)))
                stage.banger("vm", "delete", *names)
    counted = {label: values[1:] for label, values in samples.items()}
    result = Result("vm fork", "ms", counted, "four under 2x one")
    result.figures["four / one"] = result.median("four forks") / result.median("one fork")
    return result


def measure_memory(stage: Stage) -> Result:
    """The memory that an idle clone's VMM shares with nobody, alone and beside another clone.

    Alone, the kernel counts as private what it has mapped of the template's file, which is the
    page cache's and every clone's. The bar is held against that; the other figure is what one more
    clone takes.
    """
    samples: dict[str, list[float]] = {}
    for _ in range(3):
        with stage.vm(*SHAPE) as first:
            time.sleep(IDLE_S)  # what is measured is a clone that nobody has used for so long
            _look(stage, first, samples, "alone: ")
            with stage.vm(*SHAPE) as second:
                time.sleep(IDLE_S)
                _look(stage, second, samples, "")
    result = Result("idle clone of 1 GiB", "MiB", samples, "private under 90 MiB emulated")
    alone = result.median("alone: private dirty") + result.median("alone: private clean")
    result.figures["private MiB"] = alone
    beside = result.median("private dirty") + result.median("private clean")
    result.figures["beside another clone, MiB"] = beside
    return result


def _look(stage: Stage, name: str, samples: dict[str, list[float]], prefix: str) -> None:
    view = stage.json("vm", "show", name)
    with open(f"/proc/{view['pid']}/smaps_rollup", encoding="ascii") as rollup:
        fields = dict(line.split(":", 1) for line in rollup if ":" in line)
    for label, field in (("dirty", "Private_Dirty"), ("clean", "Private_Clean")):
        taken = int(fields[field].split()[0]) / 1024
        samples.setdefault(f"{prefix}private {label}", []).append(taken)
