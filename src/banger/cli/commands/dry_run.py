"""`vm run --dry-run`: print the VM and files of a run; fail where the run would be refused."""

from __future__ import annotations

import sys
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.terminal.output import format_bytes, printable
from banger.sizes import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import WorkspacePlan
    from banger.client import Client


def show_plan(
    arguments: Namespace,
    context: Context,
    *,
    vm: dict[str, object],
    workspace: dict[str, object],
) -> int:
    """Print the plan to stderr and the names of the files to stdout.

    `vm`, `workspace`: the parameters of `vm.create` and `workspace.inspect`.
    """
    with context.client() as client:
        spec = client.call("vm.plan", vm)
        context.say(
            f"spec: {spec['vcpu']} vcpu | {spec['memory_mib']} MiB | "
            f"{format_size(spec['disk_mib'])} disk | {printable(spec['image'])} | "
            f"{spec['driver']}/{spec['accel']}"
        )
        if arguments.reuse:
            _show_reuse(arguments, client, context)
        if arguments.path is not None:
            plan = client.call("workspace.inspect", workspace)
            _show_workspace(plan, context)
    if arguments.vm_tools:
        context.say(f"tools: {printable(' '.join(arguments.vm_tools))}")
    own = slice(1 if arguments.vm_tools else 0, None)
    for command in arguments.vm_setup["commands"][own] if arguments.vm_setup else ():
        context.say(f"setup: {printable(command)}")
    for words in (*arguments.vm_on_create, *arguments.vm_on_start):
        from banger.project.file import show_command

        context.say(f"runs in the workspace: {printable(show_command(words))}")
    for name, command in arguments.vm_sessions.items():
        context.say(f"session {name}: {printable(command)}")
    if arguments.fork:
        context.say(f"forks: {arguments.fork}")
    context.say("Nothing was done (--dry-run).")
    sys.stdout.flush()
    return 0


def _show_reuse(arguments: Namespace, client: Client, context: Context) -> None:
    from banger.cli.commands.reuse import choose

    listed = client.call("vm.list")
    view = choose(listed, top=arguments.path, name=arguments.name)
    if view is not None:
        context.say(
            f"reuse: {view['name']} has this repository; no VM is created, nothing is copied"
        )


def _show_workspace(plan: WorkspacePlan, context: Context) -> None:
    files, size, untracked = plan["files"], plan["bytes"], plan["untracked_left_out"]
    branch = f"branch {plan['branch']}" if plan["branch"] else "no branch"
    what = f"{branch}, commit {plan['commit'][:12]}" if plan["commit"] else "plain directory"
    context.say(
        f"workspace: {printable(plan['host_path'])} to {printable(plan['guest_path'])}, "
        f"{what}, {len(files)} files, {format_bytes(size)}"
    )
    if untracked:
        context.say(f"untracked files not copied: {untracked} (--include-untracked copies them)")
    for name in files:
        context.out(printable(name))
