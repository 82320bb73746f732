"""Build a kernel: the distribution's source, our configuration, the host's compiler.

    package --(mmdebstrap)--> tar.xz --> tree --> make allnoconfig --> make vmlinux --> import

The package is signed like every other; what is built runs as the user, in a directory below
`staging`, at the lowest priority. Neither tree nor objects are kept: a gigabyte and a half that is
fetched again in less time than it is compiled in. A cancellation, a failure or a deadline ends
the compilers and removes all of it. If the daemon dies, the next one empties `staging`, and make
ends when it misses its files.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from banger.errors import DeadlineExceeded, InvalidRequest, KernelUnfit
from banger.host import programs
from banger.host.files import space_errors, staged_dir
from banger.host.http.proxies import render_proxies
from banger.host.mmdebstrap import Bootstrap, bootstrap, check_with_space
from banger.host.packages import KERNEL_BUILD
from banger.host.setup import require_setup
from banger.kernels.importing import KernelFiles, make_kernel, require_importable
from banger.kernels.publish import Order
from banger.kernels.smallconfig import (
    Options,
    find_refused,
    load_options,
    parse_options,
    render_options,
)
from banger.model.artifacts import Kernel

SUITE, PACKAGE = "bookworm", "linux-source-6.1"
UNPACK_DEADLINE_S = 1800.0
STEP_DEADLINE_S = 600.0
COMPILE_DEADLINE_S = 4 * 3600.0
"""Two slow cores that others use as well need half an hour."""
STEPS_ABOUT = 2200
"""Lines that make says for our configuration; others differ, so the share is an estimate."""
COMPILING = "compiling the kernel"
BUILD_ENV = {
    "KBUILD_BUILD_USER": "banger",
    "KBUILD_BUILD_HOST": "banger",
    "KBUILD_BUILD_VERSION": "1",
    "KBUILD_BUILD_TIMESTAMP": "Mon Jan  1 00:00:00 UTC 2024",
}
"""What would differ from one build to the next. Any constants would do."""
SOURCE_BYTES_MAX = 1024**3
_SOURCE = re.compile(r"(?:\./)?usr/src/linux-source-[0-9.]{1,20}\.tar\.xz")
_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class KernelSource:
    """What a kernel is built of."""

    path: Path | None = None
    """A source tree, or a tar of one; None: the distribution's package."""
    options: Path | None = None
    """A file of further options, which come after ours."""


async def build_kernel(order: Order, source: KernelSource) -> Kernel:
    """Build a kernel that has all that guests need built in, under a name of the user's.

    Raises:
        InvalidRequest: the name or the options have another shape; a file cannot be read.
        HostNotReady: the host lacks something; all of it is named (H8).
        ToolFailed, DeadlineExceeded: the source could not be fetched, or does not compile.
        KernelUnfit: the source does not take an option, or guests need more.
        NoSpace: the file system is full.
    """
    require_importable(order.name)
    wanted = _load_wanted(source)
    require_setup(KERNEL_BUILD)
    with (
        staged_dir(order.layout.staging, prefix="kernel-build") as work,
        staged_dir(order.layout.staging, prefix="kernel") as staged,
    ):
        tree = await _find_tree(source, work, order)
        out = work / "out"
        out.mkdir()
        order.progress("configuring the kernel", None, None)
        await configure(tree, out, wanted)
        await _compile(tree, out, order)
        built = KernelFiles(kernel=work / "vmlinux")
        # Not compressed: a guest would have to unpack it at each boot (ADR 0012).
        argv = ["strip", "--strip-all", "-o", str(built.kernel), str(out / "vmlinux")]
        check_with_space(
            await programs.run(argv, deadline_s=STEP_DEADLINE_S, ok=range(256)), str(out)
        )
        said = source.path or f"{PACKAGE} of {SUITE}"
        return await make_kernel(order, built, staged, source=f"build:{said}")


async def configure(tree: Path, out: Path, wanted: list[Options]) -> None:
    """Write `out`'s configuration, which has every option that is wanted.

    Raises:
        KernelUnfit: the source does not take them all; each is named.
        ToolFailed, DeadlineExceeded: it is no kernel's source, or Kconfig fails.
    """
    asked = out / "asked.config"
    asked.write_text(render_options(wanted), "utf-8")
    env = {**BUILD_ENV, "KCONFIG_ALLCONFIG": str(asked)}
    argv = [*_make(tree, out), "allnoconfig"]
    await programs.run(argv, deadline_s=STEP_DEADLINE_S, env=env)
    if refused := find_refused(wanted, (out / ".config").read_text("utf-8", "replace")):
        raise KernelUnfit(
            f"The kernel's source does not accept {len(refused)} of the options, such as "
            f"{refused[0]}.",
            details="\n".join(refused),
        )


def _load_wanted(source: KernelSource) -> list[Options]:
    wanted = load_options(platform.machine())
    if source.options is not None:
        try:
            text = source.options.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{source.options} cannot be read: {error}.") from error
        wanted += parse_options(text, where=str(source.options))
    return wanted


async def _find_tree(source: KernelSource, work: Path, order: Order) -> Path:
    """Return a source tree: the user's own, or one that is unpacked below `work`."""
    archive = source.path
    if archive is not None and archive.is_dir():
        return archive
    if archive is None:
        order.progress("fetching the kernel's source", None, None)
        archive = await bootstrap(
            Bootstrap(
                suite=SUITE,
                variant="extract",
                packages=(PACKAGE,),
                proxies=render_proxies(order.environ),
            ),
            consume=lambda descriptor: _take_source(descriptor, work / "source.tar.xz"),
            on_stage=lambda stage: order.progress(stage, None, None),
        )
    order.progress("unpacking the kernel's source", None, None)
    tree = work / "source"
    tree.mkdir()
    argv = ["tar", "-C", str(tree), "--strip-components=1", "--no-same-owner"]
    argv += ["-xf", str(archive)]
    finished = await programs.run(argv, deadline_s=UNPACK_DEADLINE_S, ok=range(256))
    check_with_space(finished, str(tree))
    return tree


def _take_source(descriptor: int, target: Path) -> Path:
    """Write the source's archive out of a package's stream, which is read to its end."""
    with open(descriptor, "rb", closefd=False) as stream:
        with space_errors(target), tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                if member.isreg() and _SOURCE.fullmatch(member.name):
                    content = tar.extractfile(member)
                    assert content is not None
                    if member.size > SOURCE_BYTES_MAX:
                        raise KernelUnfit(f"{PACKAGE} holds more than {SOURCE_BYTES_MAX} bytes.")
                    with open(target, "wb") as file:
                        shutil.copyfileobj(content, file)
        while stream.read(65536):
            pass
    if not target.exists():
        raise KernelUnfit(f"The package {PACKAGE} contains no kernel source.")
    return target


def _make(tree: Path, out: Path) -> list[str]:
    return ["make", "-C", str(tree), f"O={out}"]


async def _compile(tree: Path, out: Path, order: Order) -> None:
    argv = [*_make(tree, out), f"-j{os.cpu_count() or 1}", "vmlinux"]
    order.progress(COMPILING, 0, STEPS_ABOUT)

    def tell(steps: int) -> None:
        order.progress(COMPILING, min(steps, STEPS_ABOUT - 1), STEPS_ABOUT)

    # A make that is killed leaves its job server's FIFO, and a compiler its files: here they go
    # with the build.
    env = {**BUILD_ENV, "TMPDIR": str(out)}
    try:
        async with asyncio.timeout(COMPILE_DEADLINE_S):
            finished = await _follow(argv, env, tell)
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"Compiling the kernel took longer than {COMPILE_DEADLINE_S:g} s."
        ) from error
    check_with_space(finished, str(out))


async def _follow(
    argv: list[str], env: Mapping[str, str], tell: Callable[[int], None]
) -> programs.Finished:
    """Run a program that says a line for each step; keep the end of what it says."""
    async with programs.piped(argv, env=env) as process:
        programs.lower_priority(process.pid)
        assert process.stdin and process.stdout and process.stderr
        process.stdin.close()
        _, errors = await asyncio.gather(
            _drain(process.stdout, tell), _drain(process.stderr, lambda _: None)
        )
        return programs.Finished(tuple(argv), await process.wait(), b"", errors)


async def _drain(pipe: asyncio.StreamReader, tell: Callable[[int], None]) -> bytes:
    """Read a pipe to its end, tell how many lines there are, and return the last of them."""
    lines, tail = 0, b""
    while chunk := await pipe.read(65536):
        lines += chunk.count(b"\n")
        tail = (tail + chunk)[-_TAIL_BYTES:]
        tell(lines)
    return tail
