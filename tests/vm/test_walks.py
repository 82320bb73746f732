"""The walks of docs/architecture.md are the ways that requests take."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support.artifacts import CHECKOUT
from tests.support.installations import Installation
from tests.support.vms import TINY

FIRST = "daemon.fronts.unix.connection.Connection.serve"
"""Reads a request from the socket."""


def test_walks_from_the_socket_to_the_guest(own: Installation, short_dir: Path) -> None:
    """A boot, a command and a flush: these functions of ours in this order, and no others.

    An emulated guest boots the uncompressed kernel.
    """
    file = short_dir / "walks"
    with own.special_daemon("--walks", str(file)):
        own.do("vm", "create", "--name", "one", "--no-template", *TINY)
        own.exec("one", "true", status=0)
        vm = own.vm("one")
        kernel = b"/vmlinux" if vm["accel"] == "tcg" else b"/bzimage"
        assert kernel in Path(f"/proc/{vm['pid']}/cmdline").read_bytes()
        own.do("vm", "stop", "one")
    taken = [json.loads(line) for line in file.read_text().splitlines()]
    for title, through in (
        ("Create", "engine.steps.vmm._start_vmm"),
        ("Exec", "engine.verbs.execs.start_exec"),
        ("Stop", "guest.power.sync"),
    ):
        walk = next(walk for walk in taken if through in walk)
        assert walk[walk.index(FIRST) :] == documented(title)


def documented(title: str) -> list[str]:
    """Return the functions of one walk of the page."""
    page = (CHECKOUT / "docs/architecture.md").read_text("utf-8")
    section = page.partition(f"\n### {title}")[2].partition("\n#")[0]
    return re.findall(r"^\d+\. `([\w.]+)`", section, re.MULTILINE)
