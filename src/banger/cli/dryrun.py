"""`vm run --dry-run`: what would be made and sent. Without a path no daemon is needed (B8)."""

from __future__ import annotations

import os
import sys
from argparse import Namespace

from banger.cli.context import Context
from banger.cli.output import format_bytes, printable


def show_plan(arguments: Namespace, context: Context, *, workspace: dict[str, object]) -> int:
    """Print what would be done: the plan to stderr, the files to stdout.

    `workspace`: the parameters of `workspace.inspect`.
    """
    from banger.config import load_settings

    settings = load_settings(context.layout.config_file, os.environ)
    context.say(
        f"spec: {arguments.vcpu or settings.number('vm_defaults.vcpu')} vcpu"
        f" | {arguments.memory or settings.number('vm_defaults.memory_mib')} MiB"
        f" | {_disk(arguments.disk or settings.number('vm_defaults.disk_gib') * 1024)} disk"
        f" | {arguments.image or settings.text('default_image')}"
        f" | {arguments.driver or settings.text('driver')}"
    )
    if arguments.path is not None:
        with context.client() as client:
            plan = client.call("workspace.inspect", workspace)
        assert isinstance(plan, dict)
        branch = f"branch {plan['branch']}" if plan["branch"] else "no branch"
        context.say(
            f"workspace: {printable(plan['host_path'])} to {printable(plan['guest_path'])}, "
            f"{branch}, commit {plan['commit'][:12]}, {len(plan['files'])} files, "
            f"{format_bytes(plan['bytes'])}"
        )
        if plan["untracked_left_out"]:
            context.say(
                f"untracked files that stay on the host: {plan['untracked_left_out']} "
                "(--include-untracked sends them)"
            )
        for name in plan["files"]:
            context.out(printable(name))
    if arguments.fork:
        context.say(f"forks: {arguments.fork}")
    context.say("Nothing was done (--dry-run).")
    sys.stdout.flush()
    return 0


def _disk(mib: int) -> str:
    return f"{mib // 1024} GiB" if mib % 1024 == 0 else f"{mib} MiB"
