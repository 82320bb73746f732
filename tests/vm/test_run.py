"""`vm run`: made, used, deleted; whatever comes between (hazards C5, C7, C8, H1, H4, H5)."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import repositories
from tests.support.bare_images import make_bare_image
from tests.support.installations import Installation, finish, read_line, wait_for
from tests.support.vms import TINY, TINY_IMAGE

RUN = ("vm", "run", *TINY, "--network", "none")


@pytest.fixture(autouse=True)
def nothing_new_is_left(banger: Installation) -> Iterator[None]:
    """Each test leaves what it found: VMs, processes, directories."""
    before = {vm["id"] for vm in banger.vms()}
    yield
    wait_for(lambda: {vm["id"] for vm in banger.vms()} == before, "the VMs to be deleted")
    assert banger.json("gc", "--dry-run") == []
    assert {path.name for path in banger.layout.vms.glob("*")} == before


@pytest.mark.parametrize("status", [0, 42])
def test_the_status_passes_through(banger: Installation, status: int) -> None:
    """H1: and with --rm nothing is left, whatever it is."""
    ended = banger.run(*RUN, "--rm", "--", "sh", "-c", f"echo out; exit {status}")
    assert (ended.status, ended.text) == (status, "out")
    assert "still runs" not in ended.err


def test_stdin_reaches_the_command(banger: Installation) -> None:
    """H7."""
    assert banger.run(*RUN, "--rm", "--", "cat", stdin=b"through\n", status=0).out == b"through\n"


def test_a_repository_and_a_command_in_it(banger: Installation, tmp_path: Path) -> None:
    """The promise: the repository is there, and the command runs in it."""
    top = repositories.init(tmp_path / "project")
    repositories.write(top, "answer", b"42\n")
    repositories.commit(top)
    ended = banger.run(*RUN, "--rm", top, "--", "sh", "-c", "pwd; cat answer; ls -A")
    assert (ended.status, ended.text.split()) == (0, ["/root/project", "42", ".git", "answer"])


def test_without_rm_it_runs_on(banger: Installation) -> None:
    """H4: one line says so, and it is true."""
    ended = banger.run(*RUN, "--name", "stays", "--", "true", status=0)
    try:
        assert "stays still runs; stop it: banger vm stop stays" in ended.err
        assert banger.state("stays") == "running"
        again = banger.run(*RUN, "--name", "stays", "--", "true", status=125)
        assert "stays already exists" in again.err and "hint:" in again.err
    finally:
        banger.do("vm", "delete", "stays")


def test_detached(banger: Installation) -> None:
    """-d prints the name and leaves a running VM."""
    name = banger.run(*RUN, "-d", "--label", "kind=detached", status=0).text
    try:
        assert banger.state(name) == "running"
        labelled = banger.json("vm", "list", "--label", "kind=detached")
        assert [vm["name"] for vm in labelled] == [name]
        assert banger.do("vm", "list", "-q", "--label", "kind=other").text == ""
    finally:
        banger.do("vm", "delete", name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_deleted(banger: Installation, number: signal.Signals) -> None:
    """C5: the command gets the signal, ends, and its VM goes."""
    process = banger.start(*RUN, "--rm", "--", "sh", "-c", "echo up; exec sleep 7000")
    assert read_line(process) == b"up\n"
    process.send_signal(number)
    finish(process, status=128 + number)


def test_interrupted_while_it_boots(banger: Installation) -> None:
    """C5, C7: nothing is left of a VM that was being made."""
    process = banger.start(*RUN, "--rm", "--no-template", "--", "true")  # a clone is too quick
    wait_for(lambda: any(vm["state"] == "starting" for vm in banger.vms()), "the start")
    process.send_signal(signal.SIGINT)
    finish(process, status=130)


def test_a_killed_client(banger: Installation) -> None:
    """C5: the daemon deletes what only lived for a client that is gone."""
    process = banger.start(
        *RUN, "--rm", "--name", "orphan", "--", "sh", "-c", "echo up; sleep 7000"
    )
    assert read_line(process) == b"up\n"
    process.kill()
    finish(process)
    wait_for(lambda: banger.run("vm", "show", "orphan").status == 4, "the orphan to be deleted")


def test_two_at_once(banger: Installation) -> None:
    """C8: neither disturbs the other, nor ends with it."""
    script = "echo up; read line; echo $line"
    both = [banger.start(*RUN, "--rm", "--", "sh", "-c", script) for _ in range(2)]
    assert [read_line(process) for process in both] == [b"up\n", b"up\n"]
    assert finish(both[0], stdin=b"one\n", status=0).text == "one"
    assert finish(both[1], stdin=b"two\n", status=0).text == "two"


def test_a_boot_that_fails_keeps_the_evidence(banger: Installation) -> None:
    """H5, H9: with --rm the VM goes, and its logs are shown and kept in a report."""
    # The link makes another root: an image is known by it.
    image = make_bare_image(banger, {"nowhere": "init"}, init="/no/such/init")
    options = ("--image", image, "--memory", "256M", "--name", "broken")
    ended = banger.run("vm", "run", "--rm", "--no-template", *options, "--", "true", status=125)
    assert "broken did not become ready, and was deleted" in ended.err
    assert "console.log:" in ended.err
    report = re.search(r"Its logs are in (\S+)\.", ended.err)
    assert report is not None
    assert "--- console.log ---" in Path(report[1]).read_text()
    # The name is free again.
    assert banger.do("vm", "create", "--no-start", *options).text == "broken"
    banger.do("vm", "delete", "broken")


def test_a_boot_that_takes_too_long(banger: Installation) -> None:
    """H5, H9: the deadline is named."""
    ended = banger.run(
        *("vm", "create", *TINY, "--no-template"),
        *("--name", "slow", "--boot-timeout", "0.001s"),
        status=1,
    )
    try:
        assert "0.001 s" in ended.err and "console.log" in ended.err
        assert banger.state("slow") == "error"
        banger.do("vm", "start", "slow")
        assert banger.exec("slow", "echo", "fine", status=0).text == "fine"
    finally:
        banger.do("vm", "delete", "slow")


def test_dry_run_does_nothing(banger: Installation, tmp_path: Path) -> None:
    """A5, B8: it prints the plan and the files that would be sent."""
    top = repositories.init(tmp_path / "project")
    repositories.write(top, "tracked", b"x")
    repositories.commit(top)
    repositories.write(top, "untracked", b"x")
    ended = banger.run(*RUN, "--dry-run", "--name", "never", top, status=0)
    assert ended.text == "tracked"
    assert f"1 vcpu | 256 MiB | 1 GiB disk | {TINY_IMAGE}" in ended.err
    assert "untracked files not copied: 1" in ended.err
    assert banger.run("vm", "show", "never").status == 4
    listed = banger.run(*RUN, "--dry-run", "--include-untracked", top, status=0)
    assert listed.text.split() == ["tracked", "untracked"]


def test_dry_run_makes_nothing(own: Installation) -> None:
    """B8: no VM, no image, no template."""
    kinds = ("image", "kernel", "template")
    before = [own.json(kind, "list") for kind in kinds]
    ended = own.run("vm", "run", "--dry-run", "--image", "debian-trixie", status=0)
    assert ended.out == b"" and "Nothing was done" in ended.err
    assert [own.json(kind, "list") for kind in kinds] == before
    assert own.vms() == []


def test_timings_and_quiet(banger: Installation) -> None:
    """H9: stages on a pipe are plain lines; --quiet has none; --timings has a table."""
    loud = banger.run(*RUN, "--rm", "--timings", "--", "true", status=0)
    for stage in ("spec: 1 vcpu", "restore", "delete"):
        assert stage in loud.err
    assert "\x1b" not in loud.err
    assert banger.run(*RUN, "--rm", "--quiet", "--", "true", status=0).err == ""


def test_json_documents_parse(banger: Installation, tiny: str) -> None:
    """Every list and show command prints one JSON document on stdout, and nothing else."""
    documents = [
        ("vm", "list"),
        ("vm", "show", tiny),
        ("image", "list"),
        ("image", "show", TINY_IMAGE),
        ("kernel", "list"),
        ("daemon", "status"),
        ("config", "show"),
        ("gc", "--dry-run"),
        ("doctor",),
    ]
    for words in documents:
        ended = banger.run(*words, "--json", status=0)
        json.loads(ended.out)
        assert ended.err == "", words
    status = banger.json("daemon", "status")
    assert {"pid", "version", "socket", "uptime_s"} <= set(status)
