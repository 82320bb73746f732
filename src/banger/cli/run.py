"""`vm run`: a machine, a repository in it, a shell or a command (product contract, section 5).

Two connections: the one that made an ephemeral VM stays open until the end, so that the
daemon deletes the VM if we are killed; everything else goes through others.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace

from banger.cli.context import Context
from banger.cli.guestcommand import (
    LOGIN_SHELL,
    GuestCommand,
    has_input,
    has_terminal,
    run_in_guest,
)
from banger.cli.output import format_bytes, printable
from banger.cli.parser import Parser, UsageError
from banger.cli.progress import Stages
from banger.cli.sizing import add_no_template, add_sizing, sizing_params
from banger.cli.values import duration_s, variable
from banger.errors import BangerError, VmNotFound

_TEXT = """\
The exit status is the command's own; 128+N if signal N ended it; 126 if it
cannot be executed, 127 if it is not found, 124 if its time was over, 125 for
failures of banger.

Without a command: a login shell, which needs a terminal."""

FOR_PATH = ("branch", "from_ref", "include_untracked", "guest_path")
FOR_COMMAND = ("rm", "timeout", "env")
"""Options that make no sense without a path, or together with --detach."""


def _configure(parser: Parser) -> None:
    add = parser.add_argument
    add("path", nargs="?", metavar="PATH", help="a directory in a git repository")
    add("-d", "--detach", action="store_true", help="leave it running; print its name")
    add("--rm", action="store_true", help="delete the VM at the end, whatever the status")
    add("--dry-run", action="store_true", help="print the plan and the files, and do nothing")
    add("-q", "--quiet", action="store_true", help="no progress, no notices")
    add("--timings", action="store_true", help="print how long each stage took")
    add_sizing(parser)
    add_no_template(parser)
    add("--guest-path", metavar="DIR", help="where the repository goes (default: /root/NAME)")
    add("--branch", metavar="NAME", help="start a new branch of this name in the guest")
    add("--from", dest="from_ref", metavar="REF", help="... at this commit (with --branch)")
    add("--include-untracked", action="store_true", help="send untracked files, too")
    add(
        "-e",
        "--env",
        action="append",
        default=[],
        metavar="K=V",
        type=variable,
        help="set a variable; K alone takes its value from here; may be repeated",
    )
    add("--timeout", metavar="TIME", type=duration_s, help="kill the command after so long: 10m")
    parser.text = _TEXT


def _run(arguments: Namespace, context: Context) -> int:
    _refuse_contradictions(arguments)
    if arguments.path is not None:
        from banger.workspace import locate_repository

        top = os.path.realpath(locate_repository(arguments.path))
        # A directory below the top: all of the repository goes in, and that is where we run.
        arguments.inside = os.path.relpath(os.path.realpath(arguments.path), top)
        arguments.path = top
    if arguments.dry_run:
        return _show_plan(arguments, context)
    if not arguments.detach and not arguments.command and not has_terminal():
        raise UsageError(
            "Without a command `vm run` opens a shell, which needs a terminal.",
            hint="banger vm run ... -- COMMAND, or --detach",
        )
    with Stages(quiet=arguments.quiet) as stages:
        try:
            return _make_and_use(arguments, context, stages=stages)
        finally:
            stages.end()
            if arguments.timings:
                context.say(stages.render_times())


def _refuse_contradictions(arguments: Namespace) -> None:
    """Refuse what makes no sense together, before anything exists (hazard C7).

    Raises:
        UsageError: names both.
    """
    if arguments.command is not None and not arguments.command:
        raise UsageError("There is no command after --.", hint="banger vm run ... -- COMMAND")
    if arguments.detach and arguments.command:
        raise UsageError("--detach and a command exclude each other.")
    for name in FOR_COMMAND:
        if arguments.detach and getattr(arguments, name):
            raise UsageError(f"--detach and --{name} exclude each other.")
    for name in FOR_PATH:
        if arguments.path is None and getattr(arguments, name):
            option = name.removesuffix("_ref").replace("_", "-")
            raise UsageError(f"--{option} needs a PATH.", hint=f"banger vm run PATH --{option} ...")
    if arguments.from_ref and not arguments.branch:
        raise UsageError("--from needs --branch.", hint="--branch NAME --from REF")


def _make_and_use(arguments: Namespace, context: Context, *, stages: Stages) -> int:
    params = sizing_params(arguments) | {"ephemeral": arguments.rm}
    with context.client() as owner:
        view = owner.call("vm.create", params, on_event=stages.on_event, on_tick=stages.on_tick)
        assert isinstance(view, dict)
        vm_id, name = view["id"], view["name"]
        cwd = None
        try:
            if arguments.path is not None:
                guest_path = _prepare(arguments, vm_id, context, stages=stages)
                cwd = os.path.normpath(os.path.join(guest_path, arguments.inside))
            if arguments.detach:
                context.out(name)
                return 0
            return _use(arguments, vm_id, context, stages=stages, cwd=cwd)
        finally:
            if arguments.rm:
                stages.enter("delete")
                _delete(vm_id, context, stages=stages)
            else:
                stages.end()
                _tell_state(vm_id, name, context, quiet=arguments.quiet)


def _prepare(arguments: Namespace, vm_id: str, context: Context, *, stages: Stages) -> str:
    """Put the repository into the guest; return where it is there."""
    stages.enter("workspace")
    params = {"ref": vm_id, **_workspace_params(arguments)}
    with context.client() as client:
        done = client.call(
            "workspace.prepare", params, on_event=stages.on_event, on_tick=stages.on_tick
        )
    stages.end()
    assert isinstance(done, dict)
    for notice in done["notices"]:
        stages.say(notice)
    return str(done["guest_path"])


def _workspace_params(arguments: Namespace) -> dict[str, object]:
    given = {
        "path": arguments.path,
        "guest_path": arguments.guest_path,
        "include_untracked": arguments.include_untracked,
        "branch": arguments.branch,
        "from_ref": arguments.from_ref,
    }
    return {name: value for name, value in given.items() if value is not None}


def _use(
    arguments: Namespace, vm_id: str, context: Context, *, stages: Stages, cwd: str | None
) -> int:
    """Run the command, or a shell, in `cwd` (None: the user's home); return its status."""
    stages.enter("command" if arguments.command else "shell")
    tty = has_terminal()
    command = GuestCommand(
        arguments.command or list(LOGIN_SHELL),
        env=dict(arguments.env),
        tty=tty,
        stdin=tty or has_input(),
        cwd=cwd,
        timeout_s=arguments.timeout,
    )
    return run_in_guest(command, vm_id, context)


def _delete(vm_id: str, context: Context, *, stages: Stages) -> None:
    """Delete the VM; a failure is told and does not hide the command's status."""
    try:
        with context.client() as client:
            client.call(
                "vm.delete", {"ref": vm_id}, on_event=stages.on_event, on_tick=stages.on_tick
            )
    except VmNotFound:
        pass
    except BangerError as error:
        context.complain(error)


def _tell_state(vm_id: str, name: str, context: Context, *, quiet: bool) -> None:
    """Say what is left and how to be rid of it; asked for, not assumed (hazard H4)."""
    if quiet:
        return
    try:
        with context.client() as client:
            view = client.call("vm.show", {"ref": vm_id})
    except BangerError:
        return
    assert isinstance(view, dict)
    state = view["state"]
    if state == "running":
        context.say(f"{name} still runs; stop it: banger vm stop {name}")
    else:
        context.say(f"{name} is {state}; delete it: banger vm delete {name}")


def _show_plan(arguments: Namespace, context: Context) -> int:
    """Print what would be done: the plan to stderr, the files to stdout."""
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
            plan = client.call("workspace.inspect", _workspace_params(arguments))
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
    context.say("Nothing was done (--dry-run).")
    sys.stdout.flush()
    return 0


def _disk(mib: int) -> str:
    return f"{mib // 1024} GiB" if mib % 1024 == 0 else f"{mib} MiB"


COMMANDS = {"vm run": (_configure, _run)}
