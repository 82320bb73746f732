"""Clones of templates: real QEMU, real guests, through the real command line.

D1, D2, D3, D5, D6, D8, D9, A9, C3, C4. The image has no init and boots in seconds, so that each
test may build the templates that it needs; the default image's clones are the `system` VM of
the other tests, and the last test here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from banger import guest
from banger.api.requests import VmCreate
from banger.config import load_settings
from banger.engine import open_engine
from banger.engine.verbs.create import create_vm
from banger.model.names import VmId
from tests.support.drivers import DRIVERS
from tests.support.installations import (
    DEADLINE_S,
    Installation,
    finish,
    share_artifacts,
    wait_for,
)
from tests.support.sampling import choose_size
from tests.support.stand_in import open_installation
from tests.support.vms import TINY, TINY_IMAGE, take_tiny_template

CLONES = 4
"""They run all the time."""
BATCHES, BATCH = choose_size(1, 2), choose_size(4, 8)
"""Further ones, that are only asked who they are: 8 or 20 in all."""
IDENTITY = {
    "uuid": "/proc/sys/kernel/random/uuid",
    "machine-id": "/etc/machine-id",
    "host-key": "/etc/ssh/ssh_host_ed25519_key.pub",
    "mac": "/sys/class/net/eth0/address",
    "hostname": "/proc/sys/kernel/hostname",
}
RANDOM = "od -An -w32 -N32 -tx8 /dev/urandom"
ON = {"BANGER_TEMPLATE_ENABLED": "on"}


EACH_DRIVER = pytest.mark.parametrize("fresh", DRIVERS, indirect=True)
"""Firecracker's is the stand-in: its guests have no files or memory of their own."""
OF_STAND_IN = pytest.mark.parametrize("fresh", ["firecracker"], indirect=True)
"""Have a test for Firecracker's alone, where a boot costs little."""


@pytest.fixture
def fresh(
    artifacts: None, private_environ: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Installation]:
    """An installation without templates, for one test alone."""
    environ = share_artifacts(private_environ) | ON
    with open_installation(environ, getattr(request, "param", "qemu")) as banger:
        yield banger


@pytest.fixture(scope="module")
def clones(artifacts: None, run_dir: Path) -> Iterator[Installation]:
    """An installation with a template and clones of it, named c0, c1 ..., which all run."""
    base = Path(tempfile.mkdtemp(dir=run_dir, prefix="t"))
    environ = dict(os.environ)
    for name in ("STATE_HOME", "RUNTIME_DIR"):
        environ[f"XDG_{name}"] = tempfile.mkdtemp(dir=base)
    with contextlib.closing(Installation(share_artifacts(environ) | ON)) as banger:
        take_tiny_template(banger)
        for number in range(CLONES):
            banger.do("vm", "create", "--name", f"c{number}", *TINY)
        yield banger


@pytest.fixture
def built(fresh: Installation, request: pytest.FixtureRequest) -> str:
    """The key of a template that `fresh` has, and which a test may damage."""
    if is_stand_in(fresh):
        return fresh.do("template", "build", *_build_args("256M")).text
    # A copy is quicker than a boot.
    source = template_dir(request.getfixturevalue("clones"))
    fresh.layout.templates.mkdir(mode=0o700)
    copy = ("cp", "--archive", "--sparse=always", source, fresh.layout.template_dir(source.name))
    subprocess.run(copy, check=True)
    return source.name


def is_stand_in(banger: Installation) -> bool:
    return banger.layout.config_file.exists()


def template_dir(banger: Installation) -> Path:
    (only,) = banger.layout.templates.iterdir()
    return only


def guest_text(banger: Installation, vm: str, script: str) -> str:
    return banger.exec(vm, "sh", "-c", script, status=0).text


def test_every_vm_is_a_clone_of_one_template(clones: Installation) -> None:
    """The template names its users and is kept for them (C4)."""
    (template,) = clones.json("template", "list")
    names = {f"c{number}" for number in range(CLONES)}
    assert set(template["users"]) == names
    assert {vm["template"] for vm in clones.vms() if vm["name"] in names} == {template["key"]}
    refused = clones.run("template", "rm", template["key"][:12])
    assert refused.status == 5 or "is used by" in refused.err
    assert "c0" in refused.err
    clones.do("template", "prune")
    assert template_dir(clones).name == template["key"]


@pytest.fixture(scope="module")
def identities(clones: Installation) -> list[dict[str, str]]:
    """What all clones say of themselves, right after they were handed out."""

    def ask(name: str) -> dict[str, str]:
        said = guest_text(clones, name, f"cat {' '.join(IDENTITY.values())}; {RANDOM}")
        return dict(zip((*IDENTITY, "random"), said.splitlines(), strict=True))

    def make_and_ask(name: str) -> dict[str, str]:
        clones.do("vm", "create", "--name", name, *TINY)
        return ask(name)

    found = [ask(f"c{number}") for number in range(CLONES)]
    for batch in range(BATCHES):
        names = [f"batch{batch}-{number}" for number in range(BATCH)]
        with ThreadPoolExecutor(2) as pool:
            found += pool.map(make_and_ask, names)
        clones.do("vm", "delete", *names)
    return found


@pytest.mark.parametrize("fact", [*IDENTITY, "random"])
def test_no_two_clones_share(identities: list[dict[str, str]], fact: str) -> None:
    """D2, D6: random numbers, ids, keys, addresses and names."""
    answers = [said[fact] for said in identities]
    assert len(set(answers)) == len(answers) == CLONES + BATCHES * BATCH, answers


def test_names_agree_inside(clones: Installation) -> None:
    """D2: host name, its file, the hosts file and the record."""
    assert guest_text(clones, "c1", "cat /proc/sys/kernel/hostname /etc/hostname") == "c1\nc1"
    assert "c1" in guest_text(clones, "c1", "cat /etc/hosts")


def test_a_clones_clock_is_right(clones: Installation) -> None:
    """D1: within a second of the host's, as far as the question took."""
    before = time.time()
    there = float(guest_text(clones, "c2", "date +%s.%N"))
    assert before - 1.0 <= there <= time.time() + 1.0


def test_the_clock_after_an_old_template(fresh: Installation, built: str) -> None:
    """D1: 90 days later the template's clock stands back; the clone's is right, and goes right."""
    layout = fresh.layout
    settings = load_settings(layout.config_file, fresh.environ)
    shape = {"image": TINY_IMAGE, "vcpu": 1, "memory_mib": 256, "disk_mib": 1024}

    def now() -> float:
        return time.time() + 90 * 86400

    async def make_and_ask() -> None:
        async with open_engine(layout, lambda: settings) as opened:
            opened.now = now
            op = opened.new_operation("vm.create")
            view = await create_vm(opened, op, VmCreate(name="v", **shape))
            assert view.template == built
            connection = opened.runtime(VmId(view.id)).connection
            assert connection is not None
            for pause_s in (0, 3):
                before, script = now(), f"sleep {pause_s}; date +%s.%N"
                words = (b"sh", b"-c", script.encode())
                said = await guest.run(connection, words, deadline_s=DEADLINE_S)
                there = float(said.untrusted_stdout)
                # A busy host's guest takes the time that it is told some seconds later.
                assert before + pause_s - 20.0 <= there <= now() + 1.0

    asyncio.run(make_and_ask())


def test_what_a_clone_writes_is_its_own(clones: Installation) -> None:
    """D8: memory (a tmpfs), the disk, and the template's own files."""
    folder = template_dir(clones)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    guest_text(clones, "c1", "echo mine > /root/disk; echo mine > /dev/shm/memory; sync")
    there = guest_text(clones, "c2", "ls /root /dev/shm")
    assert "disk" not in there and "memory" not in there
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    clones.do("vm", "create", "--name", "later", *TINY)
    there = guest_text(clones, "later", "ls /root /dev/shm")
    assert "disk" not in there and "memory" not in there


def test_a_stop_keeps_what_a_clone_wrote_and_it_boots_again(clones: Installation) -> None:
    """A1 in a clone; afterwards it is a VM like any other, and no user of the template."""
    identity = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub /proc/sys/kernel/hostname"
    before = guest_text(clones, "c3", f"echo kept > /root/file; {identity}")
    clones.do("vm", "stop", "c3")
    clones.do("vm", "start", "c3")
    assert guest_text(clones, "c3", f"cat /root/file; {identity}") == f"kept\n{before}"
    assert clones.vm("c3")["template"] is None
    assert "c3" not in clones.json("template", "list")[0]["users"]
    clones.do("vm", "start", "c3")


def test_a_clone_outlives_the_daemon(clones: Installation) -> None:
    """B1, B11: it is adopted, and still a user of its template."""
    guest_text(clones, "c0", "echo here > /dev/shm/still")
    clones.kill_daemon()
    assert guest_text(clones, "c0", "cat /dev/shm/still") == "here"
    assert "c0" in clones.json("template", "list")[0]["users"]


@OF_STAND_IN
def test_another_shape_has_another_template(fresh: Installation, built: str) -> None:
    """D5: memory size is part of the key."""
    key = fresh.do("template", "build", *_build_args("256M")).text
    assert key == built
    other = fresh.do("template", "build", *_build_args("320M")).text
    assert key != other
    fresh.do("vm", "create", "--name", "clone", *TINY)
    assert fresh.vm("clone")["template"] == key
    fresh.do("template", "rm", other[:12])
    assert [found["key"] for found in fresh.json("template", "list")] == [key]


def _build_args(memory: str) -> list[str]:
    image = TINY[TINY.index("--image") + 1]
    return [image, "--memory", memory, "--disk", "1G", "--vcpu", "1", "-q"]


@OF_STAND_IN
def test_a_changed_template_is_noticed_and_replaced(fresh: Installation, built: str) -> None:
    """D9: whichever of its files it is, one notice, and the next VM has a new template."""
    for name in ("memory", "state", "data.img", "manifest.json"):
        file = fresh.layout.template_dir(built) / name
        file.chmod(0o600)
        with open(file, "r+b") as damaged:
            damaged.write(b"\xff" * 64)
        vm = fresh.do("vm", "create", *TINY)
        assert "It was removed" in vm.err, name
        assert fresh.vm(vm.text)["template"] == template_dir(fresh).name == built, name
        assert fresh.exec(vm.text, "true").status == 0
        fresh.do("vm", "delete", vm.text)


def test_a_state_that_does_not_load_means_a_boot(fresh: Installation, built: str) -> None:
    """D3: whatever is wrong with it, the VM comes up, with a notice, and the template is gone."""
    folder = fresh.layout.template_dir(built)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    memory = folder / "memory"
    memory.chmod(0o600)
    with open(memory, "r+b") as damaged:
        for offset in range(0, memory.stat().st_size, 4096):
            os.pwrite(damaged.fileno(), b"\0" * 4096, offset)
    manifest["saved"]["files"]["memory"]["mtime_ns"] = memory.stat().st_mtime_ns
    (folder / "manifest.json").write_text(json.dumps(manifest))
    created = fresh.do("vm", "create", "--name", "v", *TINY)
    assert "booting instead" in created.err
    assert fresh.vm("v")["template"] is None
    assert fresh.exec("v", "true").status == 0
    assert fresh.json("template", "list") == []


@OF_STAND_IN
def test_two_askers_share_one_build(fresh: Installation) -> None:
    """C3: and each gets a clone of it."""
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(fresh.do, "vm", "create", "--name", n, *TINY) for n in ("a", "b")]
        for future in made:
            future.result()
    (template,) = fresh.json("template", "list")
    assert sorted(template["users"]) == ["a", "b"]
    assert fresh.layout.daemon_log.read_text().count("recovers") == 0


def test_the_build_goes_on_for_the_second_asker(fresh: Installation) -> None:
    """C3: also when the first one has gone."""
    first = fresh.start("vm", "create", "--name", "first", *TINY)
    wait_for(fresh.vm_processes, "the build to begin")
    second = fresh.start("vm", "create", "--name", "second", *TINY)
    while b"template:" not in (line := second.stderr.readline()):  # it waits for the same build
        assert line, "it has ended"
    first.kill()
    finish(first)
    finish(second, status=0)
    (template,) = fresh.json("template", "list")
    assert template["users"] == ["second"]


@EACH_DRIVER
@pytest.mark.parametrize("moment", ["build", "clone"])
def test_the_daemon_dies(fresh: Installation, moment: str, request: pytest.FixtureRequest) -> None:
    """A9, B5, D9: nothing half-made is left, and the next VM is a clone."""
    if moment == "clone":
        request.getfixturevalue("built")
    asker = fresh.start("vm", "create", "--name", "v", *TINY)
    if moment == "build":
        wait_for(fresh.vm_processes, "the build's VMM")
    else:
        wait_for(lambda: list(fresh.layout.vms.glob("*/data.img")), "the clone's disk")
    fresh.kill_daemon()
    finish(asker)
    if fresh.vms():  # it may have been quicker than we
        assert fresh.state("v") == "running"
        fresh.do("vm", "rm", "v")
    assert fresh.vm_processes() == []
    assert list(fresh.layout.vms.glob("*")) == []
    assert list(fresh.layout.staging.glob("*")) == []
    if not is_stand_in(fresh):  # a boot of QEMU takes seconds
        take_tiny_template(fresh)
    fresh.do("vm", "create", "--name", "v", *TINY)
    assert fresh.vm("v")["template"] == template_dir(fresh).name


@OF_STAND_IN
def test_switched_off(fresh: Installation) -> None:
    """`template.enabled = off` boots and makes none."""
    off = {"BANGER_TEMPLATE_ENABLED": "off"}
    fresh.do("vm", "create", "--name", "v", *TINY, env=off)
    assert fresh.vm("v")["template"] is None
    assert fresh.json("template", "list") == []


def test_clones_of_a_whole_system(banger: Installation, system: str) -> None:
    """D2: also what the init's services have in memory: sshd shows the clone's own key."""
    assert banger.vm(system)["template"] is not None
    shown = guest_text(banger, system, "ssh-keyscan -T 120 -t ed25519 127.0.0.1 2>/dev/null")
    key = guest_text(banger, system, "cat /etc/ssh/ssh_host_ed25519_key.pub")
    assert shown.split()[-1] == key.split()[1]
    assert guest_text(banger, system, "systemctl is-system-running || true") in (
        "running",
        "degraded",
    )


def test_what_the_host_refuses_costs_no_template_and_leaves_no_vm(
    fresh: Installation, built: str
) -> None:
    """D3, D5, A10: a limit on memory that neither a clone nor a boot fits into, and then none."""
    key = fresh.do("template", "build", *_build_args("2048M")).text
    assert key != built
    pid = fresh.json("daemon", "status")["pid"]
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (2 * 2**30, before[1]))
    tiny = [word.replace("256M", "2048M") for word in TINY]
    done = fresh.run("vm", "create", "--name", "v", *tiny)
    assert done.status == 1
    assert "Cannot allocate memory" in done.err
    assert fresh.json("vm", "list") == []
    assert {found["key"] for found in fresh.json("template", "list")} == {key, built}
    resource.prlimit(pid, resource.RLIMIT_AS, before)
    fresh.do("vm", "create", "--name", "v", *tiny)
    assert fresh.vm("v")["template"] == key
