"""What the tests of whole VMs share: the run's installation, images, VMs, and failure reports.

`tests/vm/conftest.py` and `tests/crash/conftest.py` take their fixtures from here. Two
images: the default one, which boots in about ten seconds when emulated, and one without an
init (the agent stays PID 1), which boots in three and is for tests that end or restart their VMs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.support.artifacts import CACHE
from tests.support.drivers import DRIVERS
from tests.support.environs import make_environ, make_short_dir
from tests.support.installations import OPEN, Installation, share_artifacts
from tests.support.packages import keep_kernel_package
from tests.support.stand_in import open_installation
from tests.support.templates import keep_templates, lend_templates
from tests.support.time_limits import limited

TIMEOUT_S = 300
"""For one test, without what it builds for all."""
BUILD_S = 900
"""For images, kernels and templates that a test builds for all, or waits for."""
LONG_S = 7200
"""For one test of a long run, which tries all that the others sample."""

TINY_RECIPE = """\
name = "tiny"
suite = "bookworm"
variant = "essential"
drop = ["/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*"]
"""


def name_image(recipe: str) -> str:
    """Return a name that goes with the recipe: other runs, of other recipes, share the images."""
    return f"test-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


TINY_IMAGE = name_image(TINY_RECIPE)

DEFAULT_IMAGE = "debian-bookworm"
TINY = ("--image", TINY_IMAGE, "--memory", "256M", "--disk", "1G", "--vcpu", "1")


def ensure_image(banger: Installation, name: str, recipe: str, folder: Path) -> str:
    """Build an image of the run, unless the cache has it."""
    if banger.run("image", "show", name).status != 0:
        file = folder / f"{name}.toml"
        file.write_text(recipe)
        banger.do("image", "build", "--file", file, name, deadline_s=BUILD_S)
    return name


@pytest.fixture(scope="session")
def artifacts(run_dir: Path) -> None:
    """Make the kernel and the small image exist in the run's data directory."""
    base = Path(tempfile.mkdtemp(dir=run_dir, prefix="a"))
    environ = dict(os.environ)
    for variable in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        environ[variable] = tempfile.mkdtemp(dir=base)
    with contextlib.closing(Installation(environ)) as banger, alone():
        ensure_image(banger, TINY_IMAGE, TINY_RECIPE, base)
    # Another daemon: the image's packages are none of the kernel's.
    with pytest.MonkeyPatch.context() as patch:
        keep_kernel_package(patch, base, fresh=False)
        environ["PATH"] = os.environ["PATH"]
    with contextlib.closing(Installation(environ)) as banger, alone():
        banger.do("kernel", "pull", "debian-cloud", deadline_s=BUILD_S)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """For a block, have every other run of this user wait: what this one makes serves all.

    The time is none of the test's.
    """
    with limited(BUILD_S), open(Path(os.environ[CACHE], "artifacts.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def building(banger: Installation) -> Iterator[None]:
    """For a block that builds templates: take those of other workers, and let them have these."""
    with alone():
        lend_templates(banger.layout)
        yield
        keep_templates(banger.layout)


def take_tiny_template(banger: Installation) -> None:
    """Have the run's template of TINY, and no other, in an installation without VMs."""
    with building(banger):
        key = banger.do("template", "build", "-q", *TINY[1:]).text
    for folder in banger.layout.templates.iterdir():
        if folder.name != key:
            shutil.rmtree(folder)


def own_kernels(banger: Installation, *, copy: Callable[[str, str], object] = os.link) -> None:
    """Give an installation kernels of its own: links to the files of the run's, or copies."""
    shared = banger.layout.kernels.resolve()
    banger.layout.kernels.unlink()
    shutil.copytree(shared, banger.layout.kernels, copy_function=copy, symlinks=True)


def has_right_clock(banger: Installation, vm: str) -> bool:
    """Tell whether a guest has the host's time, to the second."""
    before = time.time()
    there = float(banger.exec(vm, "date", "+%s.%N", status=0).text)
    return before - 1.0 <= there <= time.time() + 1.0


EACH_DRIVER = pytest.mark.parametrize("own", DRIVERS, indirect=True)
"""Have a test that takes `own` for VMs of each driver. Firecracker's is the stand-in, whose guests
have no network, and no files or memory of their own."""


@pytest.fixture
def own(
    artifacts: None, private_environ: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Installation]:
    """An installation for one test alone, with the run's images and templates."""
    with open_own(private_environ, driver=getattr(request, "param", "qemu")) as banger:
        yield banger


@pytest.fixture(scope="module")
def own_of_module(artifacts: None, run_dir: Path) -> Iterator[Installation]:
    """An installation for the tests of one module, with the run's images and templates."""
    with open_own(make_environ(make_short_dir(run_dir))) as banger:
        yield banger


@contextlib.contextmanager
def open_own(private_environ: dict[str, str], *, driver: str = "qemu") -> Iterator[Installation]:
    """An installation for a block, with the run's images and templates."""
    with open_installation(share_artifacts(private_environ), driver) as banger:
        lend_templates(banger.layout)
        try:
            yield banger
        finally:
            keep_templates(banger.layout)


def add_logs(report: pytest.TestReport) -> None:
    """Put the logs of every open installation into the report of a failed test."""
    if not report.failed:
        return
    for banger in OPEN:
        for title, text in banger.describe():
            report.sections.append((f"{banger.layout.runtime}: {title}", text))


def report_with_logs() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The body of a `pytest_runtest_makereport` wrapper."""
    report = yield
    add_logs(report)
    return report
