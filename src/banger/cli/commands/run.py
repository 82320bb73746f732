"""`vm run`: make a VM, copy a repository into it, run a shell or command (contract, section 5).

The connection that made an ephemeral VM and its forks stays open until the end, so that the daemon
deletes the VMs if this process is killed; other calls use connections of their own.
"""

from __future__ import annotations

import os
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.app.values import duration_s, forks
from banger.cli.commands.exec import require_terminal
from banger.cli.commands.guest_command import (
    LOGIN_SHELL,
    GuestCommand,
    has_input,
    has_terminal,
    run_in_guest,
)
from banger.cli.commands.run_vms import RunVms, find_made
from banger.cli.options.env import add_env, chosen_env
from banger.cli.options.locale import add_host_locale, chosen_locale
from banger.cli.options.project import apply_project
from banger.cli.options.timings import add_timings
from banger.cli.options.tooling import add_no_bootstrap, apply_tooling
from banger.cli.options.vm import add_ending, add_force, add_no_template, add_sizing, sizing_params
from banger.cli.options.workspace import (
    add_exclude,
    add_full,
    add_plain,
    add_read_only,
    find_place,
)
from banger.cli.terminal.progress import Stages
from banger.errors import BangerError, ExecNotFound
from banger.words import NO_NETWORK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import VmView
    from banger.client import Client

_TEXT = (
    "The exit status is the command's own; 128+N if signal N ended it; 126 if it\n"
    "cannot be executed, 127 if it is not found, 124 if it timed out, 125 for\n"
    "failures of banger.\n"
    "\n"
    "When --ttl expires the VM is stopped, or deleted with --rm, even if the command\n"
    "is still running.\n"
    "\n"
    "With --detach a command runs as a session, whose name is printed after the VM's:\n"
    "banger vm logs $(banger run -d -- COMMAND) prints its output.\n"
    "\n"
    "Without a command, opens a login shell, which needs a terminal. With\n"
    "--entrypoint, runs the image's entry point as `docker run` does; words after --\n"
    "replace the image's command. With --detach as well, the entry point keeps\n"
    "running in the VM, as with `banger vm create --entrypoint`.\n"
    "\n"
    "With --fork the VM is prepared once, then N independent forks run the command in\n"
    "parallel, without stdin; {n} in the command is the number of the fork, 1 to N.\n"
    "Each result, committed or not, becomes the branch banger/NAME-n of the\n"
    "repository; a table shows how each fork ended. The exit status is 0 if all\n"
    "succeeded, else that of the first fork that failed. Without a PATH there is no\n"
    "result to keep, and the VMs are deleted.\n"
    "\n"
    "With --rm and --branch NAME the result, committed or not, becomes the branch\n"
    "NAME of the repository before the VM is deleted. A VM whose result could not be\n"
    "fetched is never deleted.\n"
    "\n"
    "With --reuse the command runs in the newest VM that has this repository, without\n"
    "copying it again; a stopped or paused VM is started. If there is none, a new VM\n"
    "is created.\n"
    "\n"
    "A banger.toml in the repository gives defaults for what neither the options nor\n"
    "the environment sets. When the file is new or has changed, you are asked whether\n"
    "to trust it (see `banger init`, `banger trust`)."
)

FOR_PATH = (
    *("branch", "from_ref", "include_untracked", "full", "plain", "exclude", "read_only"),
    "guest_path",
)
NOT_DETACHED = ("rm", "timeout", "fork")
FOR_COMMAND = ("env", "env_file", "tty", "interactive")
"""Options that exclude --detach; options that need a command with it; `FOR_PATH` need a PATH."""


def _configure(parser: Parser) -> None:
    add = parser.add_argument
    add("path", nargs="?", metavar="PATH", help="a directory in a git repository")
    add("-d", "--detach", action="store_true", help="leave the VM running; print its name")
    add("--rm", action="store_true", help="delete the VM at the end, whatever the exit status")
    add("--dry-run", action="store_true", help="print the plan and the files to copy; do nothing")
    add("--reuse", action="store_true", help="use the VM that this repository has, if any")
    add("--no-project", action="store_true", help="ignore the banger.toml of the repository")
    add(
        "--no-setup",
        action="store_true",
        help="do not run the setup commands and sessions of banger.toml",
    )
    add_no_bootstrap(parser)
    add("-q", "--quiet", action="store_true", help="no progress, no notices")
    add_timings(parser)
    add_sizing(parser)
    add_no_template(parser)
    add_ending(parser)
    add_force(parser)
    add("--guest-path", metavar="DIR", help="path of the copy in the guest (default: /root/NAME)")
    add("--branch", metavar="NAME", help="create this branch in the guest")
    add("--from", dest="from_ref", metavar="REF", help="start point of --branch")
    add("--include-untracked", action="store_true", help="also copy untracked files")
    add_full(parser)
    add_plain(parser)
    add_exclude(parser)
    add_read_only(parser)
    add_env(parser)
    add_host_locale(parser)
    add(
        "--timeout",
        metavar="TIME",
        type=duration_s,
        help="kill the command after this time, such as 10m",
    )
    add("-t", "--tty", action="store_true", help="allocate a terminal even if stdin is not one")
    add("-i", "--interactive", action="store_true", help="forward stdin even from a terminal")
    add("--entrypoint", action="store_true", help="run the image's entry point")
    add("--fork", type=forks, metavar="N", help="run the command in N forks of the VM, 1 to 64")
    parser.text = _TEXT


def _run(arguments: Namespace, context: Context) -> int:
    if arguments.fork and arguments.path is None:
        # Without a repository there is no result to export, so the VMs need not be kept.
        arguments.rm = True
    _refuse_contradictions(arguments)
    if arguments.path is not None:
        # For a directory below the top: copy the whole repository, run in the directory.
        arguments.path, arguments.inside = find_place(arguments)
    apply_project(arguments, context)
    apply_tooling(arguments)
    if arguments.dry_run:
        from banger.cli.commands.dry_run import show_plan

        workspace = _inspect_params(arguments)
        return show_plan(arguments, context, vm=_create_params(arguments), workspace=workspace)
    has_command = arguments.command or arguments.entrypoint
    if not arguments.detach and not has_command:
        require_terminal("banger vm run ... -- COMMAND, or --detach")
    with Stages(quiet=arguments.quiet, timings=arguments.timings) as stages:
        if arguments.reuse:
            from banger.cli.commands.reuse import find_again

            view = find_again(arguments, context, stages=stages)
            if view is not None:
                return _use_again(arguments, view, context, stages=stages)
        if arguments.path is not None:
            _require_possible(arguments, context, stages=stages)
        return _make_and_use(arguments, context, stages=stages)


def _use_again(arguments: Namespace, view: VmView, context: Context, *, stages: Stages) -> int:
    """Run in a VM that was there before, and stays."""
    assert view["workspace"] is not None
    cwd = os.path.normpath(os.path.join(view["workspace"]["guest_path"], arguments.inside))
    if arguments.detach:
        return _leave(arguments, view, context, stages=stages, cwd=cwd)
    return _use(arguments, view["id"], context, stages=stages, cwd=cwd)


def _refuse_contradictions(arguments: Namespace) -> None:
    """Refuse contradictory options before anything is made (hazard C7).

    Raises:
        UsageError: two options exclude each other, or an option lacks another that it needs.
    """
    if arguments.command is not None and not arguments.command:
        raise UsageError("There is no command after --.", hint="banger vm run ... -- COMMAND")
    if arguments.detach:
        _refuse_undetachable(arguments)
    if arguments.rm and arguments.restart not in (None, "no"):
        raise UsageError("--rm and --restart exclude each other.")
    if arguments.fork and not (arguments.command or arguments.entrypoint):
        raise UsageError("--fork needs a command.", hint="banger vm run ... --fork N -- COMMAND")
    for name in FOR_PATH:
        if arguments.path is None and getattr(arguments, name):
            option = name.removesuffix("_ref").replace("_", "-")
            raise UsageError(f"--{option} needs a PATH.", hint=f"banger vm run PATH --{option} ...")
    if arguments.fork and arguments.plain:
        raise UsageError("--fork and --plain exclude each other: results become branches.")
    if arguments.from_ref and not arguments.branch:
        raise UsageError("--from needs --branch.", hint="--branch NAME --from REF")
    if arguments.reuse:
        from banger.cli.commands.reuse import refuse_contradictions

        refuse_contradictions(arguments)


def _refuse_undetachable(arguments: Namespace) -> None:
    for name in NOT_DETACHED if arguments.command else (*NOT_DETACHED, *FOR_COMMAND):
        if getattr(arguments, name):
            option = name.replace("_", "-")
            raise UsageError(f"--detach and --{option} exclude each other.")
    if arguments.entrypoint and arguments.command:
        raise UsageError(
            "--detach --entrypoint takes no command: the entry point runs with the image's.",
            hint="banger vm run --detach -- COMMAND",
        )


def _require_possible(arguments: Namespace, context: Context, *, stages: Stages) -> None:
    """Check before making a VM (hazard C7) that the copy and the export of a result can work.

    Raises:
        BangerError: the repository cannot be copied, or a result could not be exported.
    """
    stages.enter("inspect")
    params = _inspect_params(arguments) | {"names": False}
    with context.client() as client:
        client.call("workspace.inspect", params, on_tick=stages.on_tick)


def _inspect_params(arguments: Namespace) -> dict[str, object]:
    params = _workspace_params(arguments)
    if arguments.fork:
        params["result"] = f"banger/{arguments.name or 'run'}-1"
    elif arguments.rm and arguments.branch:
        params["result"] = arguments.branch
    return params


def _make_and_use(arguments: Namespace, context: Context, *, stages: Stages) -> int:
    with context.client() as owner:
        view = _create(arguments, owner, context, stages=stages)
        with RunVms(context, stages=stages, views=[view], ephemeral=arguments.rm) as vms:
            cwd = None
            if arguments.path is not None:
                guest_path = _prepare(arguments, view["id"], context, stages=stages)
                cwd = os.path.normpath(os.path.join(guest_path, arguments.inside))
                _start_workspace(arguments, view, context, stages=stages, cwd=guest_path)
            if arguments.entrypoint and not arguments.detach:
                from banger.cli.commands.entrypoint import plan_command

                arguments.command = plan_command(owner, view, arguments.command or [])
            if arguments.fork:
                forks = _fork(arguments, view["id"], owner, vms, stages=stages)
                return _use_forks(arguments, view, forks, vms, context, stages=stages, cwd=cwd)
            has_result = arguments.rm and arguments.branch
            vms.use([view["id"]] if has_result else ())
            if arguments.detach:
                return _leave(arguments, view, context, stages=stages, cwd=cwd)
            if has_result:
                return _use_and_bring_back(arguments, view, vms, context, stages=stages, cwd=cwd)
            return _use(arguments, view["id"], context, stages=stages, cwd=cwd)


def _create_params(arguments: Namespace) -> dict[str, object]:
    return sizing_params(arguments) | {
        "env": chosen_locale(arguments, os.environ) | arguments.vm_env,
        "setup": arguments.vm_setup,
        "ephemeral": arguments.rm,
        "entrypoint": arguments.entrypoint and arguments.detach,
    }


def _leave(
    arguments: Namespace,
    view: VmView,
    context: Context,
    *,
    stages: Stages,
    cwd: str | None,
) -> int:
    """Leave the VM running, and the command in it as a session; print their names on one line."""
    name = view["name"]
    session = None
    if arguments.command:
        from banger.cli.commands.session import start_session

        command = GuestCommand(
            arguments.command,
            env=chosen_env(arguments),
            tty=arguments.tty,
            stdin=arguments.interactive,
            cwd=cwd,
        )
        session = start_session(command, view["id"], context)
    context.out(f"{name} {session}" if session else name)
    if session:
        stages.say(f"Its output: banger vm logs -f {name} {session}")
    stages.say(f"Its ports appear at {view['address']}: banger vm ports {name}")
    return 0


def _start_workspace(
    arguments: Namespace, view: VmView, context: Context, *, stages: Stages, cwd: str
) -> None:
    """Run and start what the repository wants in a new workspace."""
    if arguments.vm_tools and view["network"] != NO_NETWORK:
        from banger.cli.commands.starting import start_bootstrap

        start_bootstrap(arguments, view, context, stages=stages)
    if arguments.vm_on_create or arguments.vm_on_start or arguments.vm_sessions:
        from banger.cli.commands.starting import start_workspace

        start_workspace(arguments, view, context, stages=stages, cwd=cwd, is_new=True)


def _use_and_bring_back(
    arguments: Namespace,
    view: VmView,
    vms: RunVms,
    context: Context,
    *,
    stages: Stages,
    cwd: str | None,
) -> int:
    """Run `_use`, then export the branch, also if the command's exit is unknown."""
    from banger.cli.commands.results import bring_back

    try:
        status = _use(arguments, view["id"], context, stages=stages, cwd=cwd)
    except BangerError:
        bring_back(arguments.branch, view, vms, context, stages=stages)
        raise
    return bring_back(arguments.branch, view, vms, context, stages=stages) or status


def _create(arguments: Namespace, owner: Client, context: Context, *, stages: Stages) -> VmView:
    params = _create_params(arguments)
    try:
        return owner.call("vm.create", params, on_event=stages.on_event, on_tick=stages.on_tick)
    except KeyboardInterrupt as interrupt:
        stages.end()
        made = find_made(interrupt)
        with RunVms(context, stages=stages, views=made or [], ephemeral=arguments.rm):
            if made is None:
                stages.say("Interrupted; a VM may have been created: banger vm list")
            elif not made and interrupt.__cause__ is None:
                stages.say("Interrupted; no VM was created.")
            raise


def _prepare(arguments: Namespace, vm_id: str, context: Context, *, stages: Stages) -> str:
    """Copy the repository into the guest; return its path there."""
    stages.enter("workspace")
    params = {
        "ref": vm_id,
        "directory": arguments.inside,
        "read_only": arguments.read_only,
        **_workspace_params(arguments),
    }
    with context.client() as client:
        done = client.call(
            "workspace.prepare", params, on_event=stages.on_event, on_tick=stages.on_tick
        )
    stages.end()
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
        "full": arguments.full,
        "plain": arguments.plain,
        "exclude": arguments.exclude,
    }
    return {name: value for name, value in given.items() if value is not None}


def _use(
    arguments: Namespace, vm_id: str, context: Context, *, stages: Stages, cwd: str | None
) -> int:
    """Run the command, or a shell, in `cwd` (None: the user's home); return the exit status."""
    stages.enter("command" if arguments.command else "shell")
    tty = arguments.tty or has_terminal()
    command = GuestCommand(
        arguments.command or list(LOGIN_SHELL),
        env=chosen_env(arguments),
        tty=tty,
        stdin=tty or arguments.interactive or has_input(),
        cwd=cwd,
        timeout_s=arguments.timeout,
    )
    try:
        return run_in_guest(command, vm_id, context, quiet=arguments.quiet)
    except ExecNotFound as error:
        if not arguments.command and arguments.image is not None:
            error.hint = f"banger vm run --image {arguments.image} --entrypoint, or: ... -- COMMAND"
        raise


def _fork(
    arguments: Namespace, vm_id: str, owner: Client, vms: RunVms, *, stages: Stages
) -> list[VmView]:
    """Make the forks through `owner`, the connection whose end deletes ephemeral forks."""
    stages.end()
    params = {
        "ref": vm_id,
        "number": arguments.fork,
        "ephemeral": arguments.rm,
        "force": arguments.force,
    }
    try:
        forks = owner.call("vm.fork", params, on_event=stages.on_event, on_tick=stages.on_tick)
    except KeyboardInterrupt as interrupt:
        vms.add(find_made(interrupt) or [])
        raise
    vms.add(forks)
    return forks


def _use_forks(
    arguments: Namespace,
    base: VmView,
    forks: list[VmView],
    vms: RunVms,
    context: Context,
    *,
    stages: Stages,
    cwd: str | None,
) -> int:
    """Run the command in the forks of `base`."""
    from banger.cli.commands.fork_run import run_in_forks

    vms.use([fork["id"] for fork in forks] if arguments.path is not None else ())
    stages.enter("command")
    return run_in_forks(
        arguments, context, stages=stages, base=base["name"], views=forks, vms=vms, cwd=cwd
    )


COMMANDS = {"vm run": (_configure, _run)}
