"""The table of commands: names, one-line summaries, and modules.

Help pages of groups, completion and near matches need only this table, so a command loads no
other command's module.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable

from banger.cli.app.parser import Parser


class Command:
    """One command. Its module has `COMMANDS[name] = (configure, run)`."""

    __slots__ = (
        "aliases",
        "command_after",
        "is_guest_command",
        "module",
        "passes_options",
        "path",
        "summary",
        "takes_command",
    )

    def __init__(
        self,
        path: str,
        module: str,
        summary: str,
        *,
        aliases: tuple[str, ...] = (),
        takes_command: bool = False,
        command_after: int | None = None,
        passes_options: bool = False,
        is_guest_command: bool = False,
    ) -> None:
        self.path = path
        self.module = module
        self.summary = summary
        self.aliases = aliases
        self.takes_command = takes_command
        """Words after `--` are a guest command."""
        self.command_after = command_after
        """Number of arguments after which the words are a guest command, without `--`."""
        self.passes_options = passes_options
        """Of one argument: all options, before it and after it, are another program's."""
        self.is_guest_command = is_guest_command
        """The exit status is the guest command's; banger's own failures are 125."""

    def load(self) -> tuple[Parser, Callable[..., int]]:
        """Import the command's module; return its parser and its function."""
        module = importlib.import_module(f"banger.cli.commands.{self.module}")
        configure, run = module.COMMANDS[self.path]
        parser = Parser(
            self.path,
            self.summary,
            takes_command=self.takes_command,
            command_after=self.command_after,
            passes_options=self.passes_options,
        )
        configure(parser)
        return parser, run


COMMANDS = (
    Command(
        "vm run",
        "run",
        "Create a VM, copy a git repository into it, and run a shell or a command there.",
        takes_command=True,
        is_guest_command=True,
    ),
    Command("vm create", "create", "Create and start a VM."),
    Command("vm list", "list", "List VMs.", aliases=("vm ls", "ps")),
    Command("vm show", "list", "Show details of VMs."),
    Command("vm stats", "stats", "Show the CPU, memory and disk usage of VMs."),
    Command("vm top", "top", "List what runs in a VM."),
    Command("vm start", "vm", "Start stopped VMs."),
    Command("vm stop", "vm", "Stop VMs: flush their disks, then shut down."),
    Command("vm restart", "vm", "Restart VMs: stop them as `vm stop` does, then start them."),
    Command("vm set", "set", "Change the name, labels, size or network of VMs."),
    Command("vm kill", "vm", "Kill VMs at once, without a flush or a shutdown."),
    Command("vm pause", "vm", "Pause VMs; memory is kept."),
    Command("vm resume", "vm", "Resume paused VMs."),
    Command("vm fork", "fork", "Clone a running VM, memory included."),
    Command("vm commit", "commit", "Create an image from a running VM's root file system."),
    Command("vm delete", "vm", "Delete VMs and their disks, running or not.", aliases=("vm rm",)),
    Command("vm prune", "vm", "Delete all VMs that are not running."),
    Command(
        "vm exec",
        "exec",
        "Run a command in a VM and exit with its status.",
        takes_command=True,
        command_after=1,
        is_guest_command=True,
    ),
    Command(
        "vm session start",
        "session",
        "Start a command in the background; its output and exit status are kept.",
        takes_command=True,
        command_after=1,
    ),
    Command("vm session list", "session", "List a VM's sessions.", aliases=("vm session ls",)),
    Command("vm session show", "session", "Show details of sessions."),
    Command("vm session logs", "logs", "Print the output of a session."),
    Command(
        "vm session attach",
        "session_streams",
        "Attach to a session: read its output, type its input.",
        is_guest_command=True,
    ),
    Command("vm session send", "session_streams", "Send input to a session."),
    Command("vm session stop", "session", "End sessions: SIGTERM, then SIGKILL."),
    Command("vm session kill", "session", "Send a signal to sessions, SIGKILL by default."),
    Command(
        "vm session delete",
        "session",
        "Delete sessions that have ended, and their output.",
        aliases=("vm session rm",),
    ),
    Command(
        "vm wait",
        "wait",
        "Wait until a session ends and exit with its status, or until a VM stops.",
        is_guest_command=True,
    ),
    Command("vm shell", "exec", "Open a login shell in a VM.", is_guest_command=True),
    Command(
        "vm ssh",
        "ssh",
        "Connect to a VM with ssh; the VM needs no ssh server.",
        takes_command=True,
        command_after=1,
        passes_options=True,
        is_guest_command=True,
    ),
    Command("vm cp", "cp", "Copy files between a VM and this host."),
    Command("vm logs", "logs", "Print a VM's console log, its VMM's log, or a session's output."),
    Command("vm console", "console", "Attach to a VM's serial console."),
    Command("vm ports", "ports", "List the ports that VMs listen on, and where to reach them."),
    Command("vm port add", "published", "Publish a port of a VM on this host."),
    Command(
        "vm port list", "published", "List the published ports of VMs.", aliases=("vm port ls",)
    ),
    Command("vm port delete", "published", "Stop publishing ports.", aliases=("vm port rm",)),
    Command("vm network show", "network", "Show a VM's network and its egress policy."),
    Command(
        "vm network allow", "network", "Allow a VM's connections to targets; takes effect at once."
    ),
    Command(
        "vm network deny", "network", "Deny a VM's connections to targets; takes effect at once."
    ),
    Command("vm network profile", "network", "Set a VM's egress profile."),
    Command("vm network limit", "network", "Limit the bandwidth of a VM's network."),
    Command(
        "vm network logs", "network", "List the connections that a VM was denied since its start."
    ),
    Command("vm snapshot create", "snapshot", "Save a VM's memory and disk as a snapshot."),
    Command("vm snapshot list", "snapshot", "List a VM's snapshots.", aliases=("vm snapshot ls",)),
    Command("vm snapshot restore", "snapshot", "Restore a VM from one of its snapshots."),
    Command("vm snapshot delete", "snapshot", "Delete snapshots.", aliases=("vm snapshot rm",)),
    Command("vm workspace plan", "tooling", "List the tools and versions that a repository pins."),
    Command("vm workspace prepare", "workspace", "Copy a git repository into a running VM."),
    Command(
        "vm workspace export", "workspace", "Export a workspace's changes as a patch or a branch."
    ),
    Command(
        "vm workspace status", "workspace_changes", "Show what changed in a VM and on this host."
    ),
    Command("vm workspace diff", "workspace_changes", "Show a workspace's changes."),
    Command(
        "vm workspace apply",
        "workspace_changes",
        "Write a workspace's changes to the files on this host.",
    ),
    Command(
        "vm workspace sync", "workspace_sync", "Copy changes in both directions, except conflicts."
    ),
    Command("image build", "image", "Build an image from distribution packages."),
    Command("image import", "image", "Import an image archive or a root file system tar."),
    Command("image pull", "pull", "Pull an image from a registry."),
    Command(
        "image register", "register", "Register a squashfs file as an image without copying it."
    ),
    Command(
        "image promote", "register", "Copy the file of a registered image into the image store."
    ),
    Command("image catalog", "catalog", "List the images that can be built by name."),
    Command("image list", "image", "List images.", aliases=("image ls",)),
    Command("image show", "image", "Show details of images."),
    Command("image delete", "image", "Delete images.", aliases=("image rm",)),
    Command("image prune", "pull", "Delete unused images and cached downloads."),
    Command("kernel pull", "kernel_sources", "Download a kernel: a signed package, or a file."),
    Command("kernel import", "kernel_sources", "Import a kernel from files."),
    Command(
        "kernel build",
        "kernel_sources",
        "Build a small kernel from a distribution's source package.",
    ),
    Command("kernel list", "kernel", "List kernels.", aliases=("kernel ls",)),
    Command("kernel show", "kernel", "Show details of kernels."),
    Command("kernel delete", "kernel", "Delete kernels.", aliases=("kernel rm",)),
    Command("kernel prune", "kernel", "Delete kernels that were replaced by newer ones."),
    Command("template build", "template", "Build the template for VMs of a given size."),
    Command("template list", "template", "List templates.", aliases=("template ls",)),
    Command("template delete", "template", "Delete templates.", aliases=("template rm",)),
    Command("template prune", "template", "Delete all templates that no VM uses."),
    Command(
        "operations list",
        "operations",
        "List operations in progress.",
        aliases=("operations ls",),
    ),
    Command("operations cancel", "operations", "Cancel operations and undo what they did."),
    Command("events", "events", "Print events of VMs; --follow prints them as they happen."),
    Command("init", "project", "Write a commented banger.toml for a repository."),
    Command("trust", "project", "Trust a repository's banger.toml."),
    Command("doctor", "host", "Check whether this host can run VMs; changes nothing."),
    Command("setup", "host", "Install missing programs on this host."),
    Command("daemon status", "daemon", "Show the status of the daemon."),
    Command("daemon run", "daemon", "Run the daemon in the foreground."),
    Command("daemon stop", "daemon", "Stop the daemon; VMs keep running."),
    Command("daemon restart", "daemon", "Restart the daemon; VMs keep running."),
    Command("daemon logs", "daemon", "Print the daemon's log."),
    Command("ui", "web", "Open the web page of this host's VMs in a browser."),
    Command("web", "web", "Serve the API over HTTP to programs and browsers on this host."),
    Command("web token create", "web", "Create a token for a program that uses the HTTP front."),
    Command("web token list", "web", "List the tokens.", aliases=("web token ls",)),
    Command("web token delete", "web", "Delete tokens.", aliases=("web token rm",)),
    Command("secret set", "secret", "Save a secret for HTTPS requests of VMs, read from stdin."),
    Command("secret list", "secret", "List secrets, without their values.", aliases=("secret ls",)),
    Command("secret delete", "secret", "Delete secrets.", aliases=("secret rm",)),
    Command("config show", "config", "Print all settings and their origins."),
    Command("config path", "config", "Print the path of the configuration file."),
    Command("config edit", "config", "Edit the configuration file and check it."),
    Command("gc", "gc", "Remove leftover processes and directories that belong to no VM."),
    Command(
        "ssh-config", "ssh_config", "Print, install or remove ssh's configuration for NAME.vm."
    ),
    Command("env", "env", "Print shell variables that let programs reach NAME.vm."),
    Command("completion", "completion", "Print or install the completion script of a shell."),
    Command("api-spec", "version", "Print the OpenRPC document of the daemon's API."),
    Command("version", "version", "Print the version.", aliases=("--version", "-V")),
)

GROUPS = {
    "vm": "Virtual machines: run, list, stop, delete.",
    "vm network": "Egress policy of a VM: show, allow, deny, profile, limit, logs.",
    "vm port": "Published ports of a VM: add, list, delete.",
    "vm session": "Sessions: commands that run in the background of a VM.",
    "vm snapshot": "Snapshots of a VM: memory and disk.",
    "vm workspace": "A git repository in a VM: copy it in, see changes, bring them back.",
    "image": "Root file systems of VMs: pull, build, import.",
    "kernel": "Kernels that VMs boot, with their modules.",
    "template": "Saved memory of booted images, for fast starts.",
    "operations": "Operations in progress: list, cancel.",
    "daemon": "The process that manages your VMs.",
    "web token": "Tokens for programs that use the HTTP front.",
    "secret": "Secrets added to VMs' HTTPS requests outside the VMs.",
    "config": "Settings and their origins.",
}

OVERVIEW = """\
usage: banger COMMAND ...

A Linux VM for your code, in one command.

  banger vm run                          open a shell in a new VM
  banger vm run ./repo                   ... with a copy of the repository
  banger vm run ./repo -- make test      ... run a command, exit with its status
  banger vm run --rm ./repo -- make test ... and delete the VM afterwards

common commands (`vm` may be left out: banger run, banger ls):
"""
MORE = "\n\nother commands and groups (banger GROUP --help lists a group's commands):\n"
OFTEN = (
    "vm run",
    "vm list",
    "vm shell",
    "vm exec",
    "vm ssh",
    "vm cp",
    "vm ports",
    "vm workspace export",
    "vm stop",
    "vm delete",
)


def find_command(words: list[str]) -> tuple[Command, list[str]]:
    """Return the command at the start of `words`, and the words after the command.

    The verbs of `vm` work without `vm`, and other tools' names for commands are accepted.

    Raises:
        UsageError: there is no such command; the hint is the most likely command.
    """
    by_name = {name: c for c in COMMANDS for name in (c.path, *c.aliases)}
    found = _find(words, by_name)
    if found is not None:
        return found
    from banger.cli.app.foreign_words import find_words, plan_refusal

    ours = find_words(words, by_name)
    found = _find(ours, by_name) if ours else None
    if found is None:
        raise plan_refusal(words, by_name, GROUPS)
    return found


def _find(words: list[str], by_name: dict[str, Command]) -> tuple[Command, list[str]] | None:
    for length in (3, 2, 1):
        found = by_name.get(" ".join(words[:length]))
        if found and len(words) >= length:
            return found, words[length:]
    return None


def move_help(words: list[str]) -> list[str]:
    """Return `help vm run`, `vm help run` and `vm run help` as `vm run --help`."""
    if "help" not in words:
        return words
    place = words.index("help")
    before, after = words[:place], words[place + 1 :]
    if not before or " ".join(before) in GROUPS or " ".join(["vm", *before]) in GROUPS:
        return [*before, *after, "--help"]
    names = {name for c in COMMANDS for name in (c.path, *c.aliases)}
    is_command = " ".join(before) in names or " ".join(["vm", *before]) in names
    # In `vm run help` the word may be a directory of that name.
    return [*before, "--help"] if is_command and not after and not os.path.exists("help") else words


def find_group(words: list[str]) -> str | None:
    """Return the group's name if `words` name a group, with or without a help option; else None."""
    names = [word for word in words if word not in ("-h", "--help")]
    group = " ".join(names)
    if group in GROUPS or not names:
        return group
    return f"vm {group}" if f"vm {group}" in GROUPS else None


def render_group(group: str) -> str:
    """Return the help page of a group; for an empty name, the overview."""
    if not group:
        often = [_line(c.path, c.summary) for c in COMMANDS if c.path in OFTEN]
        alone = {c.path: c.summary for c in COMMANDS} | GROUPS
        others = dict.fromkeys(c.path.split()[0] for c in COMMANDS)
        lines = [_line(name, alone[name]) for name in others]
        return OVERVIEW + "\n".join(often) + MORE + "\n".join(lines) + "\n"
    inside = [c for c in COMMANDS if c.path.startswith(f"{group} ")]
    lines = [_line(c.path.removeprefix(f"{group} "), c.summary) for c in inside]
    return f"usage: banger {group} COMMAND ...\n\n{GROUPS[group]}\n\n" + "\n".join(lines) + "\n"


WIDTH = 20
"""Width of the names in a list of commands."""


def _line(name: str, summary: str) -> str:
    import textwrap

    text = textwrap.wrap(summary, 78 - WIDTH)
    return "\n".join(
        [f"  {name.ljust(WIDTH)}{text[0]}", *(" " * (WIDTH + 2) + line for line in text[1:])]
    )
