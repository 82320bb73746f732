"""Installations of each driver, where Firecracker is its stand-in, so that no KVM is needed.

Its guests are processes of this host, without a kernel, network, files or memory of their own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from banger.layout import Layout, layout_from_environment
from tests.support.agent import find_or_build_agent
from tests.support.firecracker.ending import wait_ended
from tests.support.firecracker.program import write_program
from tests.support.installations import Installation

SETTINGS = """\
driver = "firecracker"
network = "none"
[firecracker]
binary = "{}"
"""
TAKES_KVM = """\
import sys
if any("daemon" in word for word in sys.orig_argv):
    from banger.vmm import acceleration
    acceleration.find_kvm_obstacle = lambda _: None
"""
"""For every daemon: the processor and /dev/kvm would do. Drivers prove it themselves."""


@contextlib.contextmanager
def open_installation(environ: dict[str, str], driver: str) -> Iterator[Installation]:
    """An installation whose VMs are of this driver, for a block."""
    if driver != "firecracker":
        with contextlib.closing(Installation(environ)) as banger:
            yield banger
        return
    # Its configuration is its own: others may share the one of `environ`.
    settings = folder_of(layout_from_environment(environ)) / "settings"
    with contextlib.closing(Installation(environ | {"XDG_CONFIG_HOME": str(settings)})) as banger:
        _use_stand_in(banger)
        yield banger
    wait_ended(banger.layout.state)


def folder_of(layout: Layout) -> Path:
    """Where an installation's stand-in is. Tests put other file systems over its state."""
    return layout.data.parent / "stand-in"


def _use_stand_in(banger: Installation) -> None:
    directory, config = folder_of(banger.layout), banger.layout.config_file
    config.parent.mkdir(mode=0o700, parents=True)
    agent = find_or_build_agent(directory / "agent")
    program = write_program(directory, agent=agent, version="1.12.1")
    config.write_text(SETTINGS.format(program))
    (directory / "sitecustomize.py").write_text(TAKES_KVM)
    banger.environ["PYTHONPATH"] = os.pathsep.join((str(directory), banger.environ["PYTHONPATH"]))
