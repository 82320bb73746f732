"""The package as users get it: sources, a wheel built of them alone, an install without a checkout.

Needs a package index: the build requires zig, which compiles for both architectures. The first
build takes minutes, since zig builds its C library. Later ones find that, and what they compiled
before, in the tests' cache, if zig itself is where it was: so the environment of the build is kept
there as well. The programs are kept by the hash of everything that they are made from: a build of
the same unpacked sources finds them where it would write them, and compiles nothing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from banger.version import VERSION
from tests.support.artifacts import CACHE, CHECKOUT
from tests.support.native import KIND, hash_files

pytestmark = pytest.mark.timeout(1800)
PROGRAMS = (
    "guest/agent/{}/banger-agent",
    "network/egress-filter/{}/banger-egress-filter",
    "client/ssh-proxy/{}/banger-ssh-proxy",
    "vmm/tap/{}/banger-tap",
    "vmm/with-parent/{}/banger-with-parent",
)
LIBRARY = "vmm/qemu/memory-preload/{}/banger-memory-preload.so"
ELF_MACHINES = {"x86_64": 0x3E, "aarch64": 0xB7}
FIND_PROGRAMS = """
from banger.client.sshproxy import find_program
from banger.network.egress.process import find_egress_filter
from banger.vmm.qemu.memory_preload import find_memory_preload
from banger.vmm.tap import find_tap_program
found = find_egress_filter(), find_memory_preload(), find_tap_program()
print(*(path.is_file() for path in found), bool(find_program()))
"""


def run(*argv: str | Path, cwd: Path, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=1500,
    )
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    target = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", target, cwd=CHECKOUT)
    [sdist] = target.glob("*.tar.gz")
    return sdist


@pytest.fixture(scope="module")
def builder() -> Path:
    """The Python of an environment that has what pyproject.toml requires for a build, no more."""
    folder = Path(os.environ[CACHE], "zig")
    python, installed = folder / "venv/bin/python", folder / "venv/installed"
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    required = project["build-system"]["requires"]
    if not installed.exists() or installed.read_text() != str(required):
        run(sys.executable, "-m", "venv", folder / "venv", cwd=CHECKOUT)
        run(python, "-m", "pip", "install", "-q", *required, cwd=folder)
        installed.write_text(str(required))
    return python


def find_kept_programs(builder: Path, unpacked: Path) -> Path:
    """Return the place of the programs that this environment compiles of these sources."""
    packages = sorted(path.name for path in builder.parents[1].glob("lib/*/site-packages/*-info"))
    inputs = [unpacked / "pyproject.toml", *(unpacked / "native").rglob("*")]
    return Path(os.environ[CACHE], f"{KIND}-{hash_files(unpacked, inputs, *packages)}")


def keep_programs(unpacked: Path, kept: Path, *, aside: Path) -> None:
    """Keep the programs that a build has left; a directory that is there is whole."""
    shutil.rmtree(aside, ignore_errors=True)
    for place in (*PROGRAMS, LIBRARY):
        for machine in ELF_MACHINES:
            copy = aside / place.format(machine)
            copy.parent.mkdir(parents=True)
            shutil.copy(unpacked / "src/banger" / place.format(machine), copy)
    aside.rename(kept)


@pytest.fixture(scope="module")
def wheel(builder: Path, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the source distribution.

    The sources lie where they did the last time: zig compiles again what has another path.
    """
    target = tmp_path_factory.mktemp("wheel")
    folder = builder.parents[2]
    environ = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(folder / "cache")}
    command = [builder, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w", target]
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(folder / "sources", ignore_errors=True)
        (folder / "sources").mkdir()
        run("tar", "-xf", sources, cwd=folder / "sources")
        [unpacked] = (folder / "sources").iterdir()
        kept = find_kept_programs(builder, unpacked)
        if kept.exists():
            os.utime(kept)
            # Their times are those of now: later than those of what they are made from.
            package = unpacked / "src/banger"
            shutil.copytree(kept, package, copy_function=shutil.copy, dirs_exist_ok=True)
        run(*command, unpacked, cwd=target, environ=environ)
        if not kept.exists():
            keep_programs(unpacked, kept, aside=folder / "aside")
    [built] = target.glob("*.whl")
    return built


def test_the_sources_hold_no_built_program(sources: Path) -> None:
    with tarfile.open(sources) as archive:
        names = archive.getnames()
    assert any(name.endswith("agent/exec.c") for name in names)
    built = (
        "banger-agent",
        "banger-egress-filter",
        "banger-ssh-proxy",
        "banger-tap",
        "banger-with-parent",
        ".so",
    )
    assert not [name for name in names if name.endswith(built)]


def test_a_wheel_has_the_programs_of_both_architectures(wheel: Path) -> None:
    """They need nothing of the system that they are installed on, as the tag says."""
    for machine, number in ELF_MACHINES.items():
        assert f"manylinux_2_17_{machine}" in wheel.name
        assert f"musllinux_1_1_{machine}" in wheel.name
        with zipfile.ZipFile(wheel) as archive:
            for place in (*PROGRAMS, LIBRARY):
                name = f"banger/{place.format(machine)}"
                binary = archive.read(name)
                assert binary[:4] == b"\x7fELF"
                assert int.from_bytes(binary[18:20], "little") == number
                assert archive.getinfo(name).external_attr >> 16 & 0o111
                assert b"/ld-" not in binary, "no program interpreter"
                assert b"libc.so" not in binary, "no library"


def test_a_wheel_says_that_it_has_types_and_whose_code_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert "banger/py.typed" in archive.namelist()
        assert "banger/web/page/vendor/xterm.LICENSE" in archive.namelist()
        [notices] = [each for each in archive.namelist() if each.endswith("NOTICES.txt")]
        assert "Rich Felker" in archive.read(notices).decode()
        [metadata] = [each for each in archive.namelist() if each.endswith("/METADATA")]
        text = archive.read(metadata).decode()
        manual = f"banger-{VERSION}.data/data/share/man/man1/banger.1"
        assert b"\n.SH EXIT STATUS\n" in archive.read(manual)
    assert "Classifier: Programming Language :: Python :: 3.13" in text
    assert "License-File: THIRD_PARTY_NOTICES.txt" in text


def test_an_install_works_without_a_checkout(
    wheel: Path, short_dir: Path, private_environ: dict[str, str]
) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", short_dir / "venv", cwd=short_dir)
    banger = short_dir / "venv/bin/banger"
    pip = (sys.executable, "-m", "pip", "--python", short_dir / "venv/bin/python")
    run(*pip, "install", "-q", "--no-compile", wheel, cwd=short_dir)
    assert run(banger, "version", cwd=short_dir, environ=private_environ).startswith("banger 0.")
    doctor = subprocess.run(
        [banger, "doctor"],
        cwd=short_dir,
        env=private_environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert doctor.returncode in {0, 6}, doctor.stderr  # 6: this host lacks something
    assert f" at {short_dir}/venv/bin/python." in doctor.stdout
    assert (
        run(short_dir / "venv/bin/python", "-c", FIND_PROGRAMS, cwd=short_dir)
        == "True True True True\n"
    )
