"""A pull until the image is ready, against the usual tools; and the memory that it takes.

The other side is `skopeo copy`, `umoci unpack --rootless` and `mksquashfs` without compression, as
our roots are: all that they would have to do is done, and both sides run as the same ordinary user.
As root umoci would give each file its owner besides, so this is the faster way for it. Both fetch
from one registry on loopback and begin with nothing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

from tests.bench.peaks import watched_peaks
from tests.bench.pulledimage import ONE, SIX, make_images
from tests.bench.result import Result
from tests.bench.stage import BANGER, COMMAND_DEADLINE_S, Stage
from tests.support.registries import RealRegistry, real_registry

RUNS = 10
RUNS_OF_ONE = 3
OURS, ONE_LAYER = "banger image pull", "banger image pull, one layer"
THEIRS = "skopeo + umoci + mksquashfs"
TOOLS = ("skopeo copy", "umoci unpack", "mksquashfs")
PLAIN = ("-quiet", "-no-progress", "-noI", "-noD", "-noF", "-noX")
_STAGE = re.compile(r"(?P<name>.+?)  +(?P<seconds>[0-9.]+) s")


def measure_pulls(stage: Stage) -> Result:
    """300 MiB in six layers, in turns; then in a single layer, for the memory."""
    folder = stage.directory / "pulls"
    folder.mkdir()
    samples: dict[str, list[float]] = {OURS: [], THEIRS: []}
    parts: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    layout = make_images(folder / "layout")
    private = _private_stage(stage, folder)
    with real_registry(folder) as registry:
        for tag in (SIX, ONE):
            registry.push(layout, tag, f"bench:{tag}")
        shutil.rmtree(layout)
        try:
            for _ in range(RUNS):
                samples[OURS].append(_pull(private, registry, SIX, parts, peaks))
                samples[THEIRS].append(_use_tools(private, registry, folder, parts))
            one = [_pull(private, registry, ONE, {}, peaks) for _ in range(RUNS_OF_ONE)]
        finally:
            private.banger("daemon", "stop")
    samples |= {**parts, ONE_LAYER: one}
    result = Result("pull of 300 MiB", "s", samples, "faster than the tools; under 150 MiB each")
    result.figures["tools / banger"] = result.median(THEIRS) / result.median(OURS)
    result.figures.update({f"{name}, peak MiB": peak for name, peak in sorted(peaks.items())})
    return result


def _private_stage(stage: Stage, folder: Path) -> Stage:
    """Return a stage whose images are its own: the tests' cache is no place for these."""
    names = ("DATA_HOME", "CACHE_HOME", "STATE_HOME", "RUNTIME_DIR")
    environ = {**stage.environ, **{f"XDG_{name}": str(folder / name) for name in names}}
    for name in names:
        (folder / name).mkdir(mode=0o700)
    return Stage(folder, environ)


def _pull(
    stage: Stage,
    registry: RealRegistry,
    tag: str,
    parts: dict[str, list[float]],
    peaks: dict[str, float],
) -> float:
    """Pull once with nothing of it here; note stages and peaks, return the seconds."""
    stage.banger("image", "prune", "--all", "--force")
    daemon = int(stage.json("daemon", "status")["pid"])
    argv = [BANGER, "image", "pull", "--timings", f"{registry.address}/bench:{tag}"]
    with watched_peaks(daemon) as seen:
        started = time.perf_counter()
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=stage.environ,
            timeout=COMMAND_DEADLINE_S,
            check=True,
        )
        seconds = time.perf_counter() - started
    for line in done.stderr.decode().splitlines():
        if (match := _STAGE.fullmatch(line)) and match["name"] != "total":
            name = "asking" if match["name"].startswith("asking") else match["name"]
            parts.setdefault(f"banger: {name}", []).append(float(match["seconds"]))
    for name, peak in seen.items():
        peaks[name] = max(peaks.get(name, 0), peak)
    return seconds


def _use_tools(
    stage: Stage, registry: RealRegistry, folder: Path, parts: dict[str, list[float]]
) -> float:
    layout, bundle, root = folder / "oci", folder / "bundle", folder / "root.squashfs"
    source = f"docker://{registry.address}/bench:{SIX}"
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]
    lines = (
        [*copy, source, f"oci:{layout}:{SIX}"],
        ["umoci", "unpack", "--rootless", "--image", f"{layout}:{SIX}", str(bundle)],
        ["mksquashfs", f"{bundle}/rootfs", str(root), *PLAIN],
    )
    total = 0.0
    for label, line in zip(TOOLS, lines, strict=True):
        seconds = stage.time(line)
        parts.setdefault(label, []).append(seconds)
        total += seconds
    for path in (layout, bundle):
        shutil.rmtree(path)
    root.unlink()
    return total
