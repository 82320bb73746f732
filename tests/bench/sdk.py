"""What a block costs a Python program: a VM that waits in the pool, and a command in it."""

from __future__ import annotations

import json
import sys
import time

from tests.bench.result import Result
from tests.bench.stage import BANGER, Stage

PACE_S = 2.0
"""From one block to the next: the pool makes a clone meanwhile."""
BLOCKS, RUNS = 15, 5

PROGRAM = f"""
import json, subprocess, time, banger
client = banger.Client()
NAMES = ("client.vm()", "vm.run(['true'])", "its own processor time", "banger vm exec")
samples = {{name: [] for name in NAMES}}
for _ in range({BLOCKS}):
    time.sleep({PACE_S})
    started = time.perf_counter()
    with client.vm() as vm:
        samples["client.vm()"].append(time.perf_counter() - started)
        for _ in range({RUNS}):
            started, used = time.perf_counter(), time.process_time()
            vm.run(["true"], check=True)
            samples["vm.run(['true'])"].append(time.perf_counter() - started)
            samples["its own processor time"].append(time.process_time() - used)
            started = time.perf_counter()
            subprocess.run(["{BANGER}", "vm", "exec", vm.id, "--", "true"], check=True)
            samples["banger vm exec"].append(time.perf_counter() - started)
print(json.dumps(samples))
"""


def measure_sdk(stage: Stage) -> Result:
    """Blocks one after the other in one process; each claims a clone that waits."""
    with stage.pool():
        for _ in range(2):  # from the second use on clones are prepared
            stage.banger("vm", "run", "--rm", "--", "true")
            time.sleep(PACE_S)
        samples = json.loads(stage.run(sys.executable, "-c", PROGRAM))
    result = Result("Python: a VM and a command", "s", samples, "under 0.060 and 0.030")
    exec_s = result.median("banger vm exec")
    result.figures["vm.run / banger vm exec"] = result.median("vm.run(['true'])") / exec_s
    return result
