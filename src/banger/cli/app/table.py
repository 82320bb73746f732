"""The table of commands: names, one-line summaries, and which module has them.

Help pages of groups, completion and near matches need only this table, so that no
command's module is loaded for another's sake.
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
        is_guest_command: bool = False,
    ) -> None:
        self.path = path
        self.module = module
        self.summary = summary
        self.aliases = aliases
        self.takes_command = takes_command
        """Words after `--` are a command."""
        self.command_after = command_after
        """... and so are those after so many arguments, without `--`."""
        self.is_guest_command = is_guest_command
        """The exit status is the guest's; our own failures are 125."""

    def load(self) -> tuple[Parser, Callable[..., int]]:
        """Import the command's module; return its parser and its function."""
        module = importlib.import_module(f"banger.cli.commands.{self.module}")
        configure, run = module.COMMANDS[self.path]
        parser = Parser(
            self.path,
            self.summary,
            takes_command=self.takes_command,
            command_after=self.command_after,
        )
        configure(parser)
        return parser, run


COMMANDS = (
    Command(
        "vm run",
        "run",
        "Make a VM, put a git repository into it, and run a shell or a command there.",
        takes_command=True,
        is_guest_command=True,
    ),
    Command("vm create", "create", "Make a VM and start it."),
    Command("vm list", "list", "List VMs.", aliases=("vm ls", "ps")),
    Command("vm show", "list", "Show everything that is known of a VM."),
    Command("vm stats", "stats", "Show what VMs take of this host's processors, memory and disk."),
    Command("vm start", "vm", "Boot stopped VMs."),
    Command("vm stop", "vm", "Write everything to disk, then shut VMs down."),
    Command("vm restart", "vm", "Stop VMs as `vm stop` does, and boot them."),
    Command("vm set", "set", "Change VMs: name, labels, sizes, network."),
    Command("vm kill", "vm", "End VMs at once, as if by pulling the plug."),
    Command("vm pause", "vm", "Stop VMs' processors; their memory is kept."),
    Command("vm resume", "vm", "Let paused VMs go on."),
    Command("vm fork", "fork", "Make independent VMs that go on from where a VM is now."),
    Command("vm commit", "commit", "Make an image of a running VM's root file system."),
    Command("vm delete", "vm", "Delete VMs with their disks, running or not.", aliases=("vm rm",)),
    Command("vm prune", "vm", "Delete every VM that is not running."),
    Command(
        "vm exec",
        "exec",
        "Run a command in a VM and exit with its status.",
        takes_command=True,
        command_after=1,
        is_guest_command=True,
    ),
    Command("vm shell", "exec", "Open a login shell in a VM.", is_guest_command=True),
    Command("vm logs", "logs", "Print the console's log, or the VMM's."),
    Command("vm console", "console", "Sit down at a VM's serial console."),
    Command("vm ports", "ports", "List what listens for connections in VMs."),
    Command("vm snapshot create", "snapshot", "Keep a VM's memory and disk as they are now."),
    Command("vm snapshot list", "snapshot", "List a VM's snapshots.", aliases=("vm snapshot ls",)),
    Command("vm snapshot restore", "snapshot", "Put a VM back to a snapshot of it."),
    Command("vm snapshot delete", "snapshot", "Delete snapshots.", aliases=("vm snapshot rm",)),
    Command("vm workspace prepare", "workspace", "Put a git repository into a running VM."),
    Command("vm workspace export", "workspace", "Bring a workspace's changes back."),
    Command("image build", "image", "Build an image from distribution packages."),
    Command("image import", "image", "Make an image of an archive or a root tar."),
    Command("image pull", "pull", "Pull an image from a registry."),
    Command("image register", "register", "Make an image of a squashfs file where it lies."),
    Command("image promote", "register", "Copy a registered image's file into the store."),
    Command("image catalog", "catalog", "List the images that can be built by name."),
    Command("image list", "image", "List images.", aliases=("image ls",)),
    Command("image show", "image", "Show everything that is known of an image."),
    Command("image delete", "image", "Delete images.", aliases=("image rm",)),
    Command("image prune", "pull", "Delete images that nobody uses, and downloads."),
    Command("kernel pull", "kernel_sources", "Fetch a kernel: a signed package, or a file."),
    Command("kernel import", "kernel_sources", "Make a kernel of files of your own."),
    Command("kernel build", "kernel_sources", "Build a small kernel from a distribution's source."),
    Command("kernel list", "kernel", "List kernels.", aliases=("kernel ls",)),
    Command("kernel show", "kernel", "Show everything that is known of a kernel."),
    Command("kernel delete", "kernel", "Delete kernels.", aliases=("kernel rm",)),
    Command("kernel prune", "kernel", "Delete kernels that newer ones have replaced."),
    Command("template build", "template", "Make the template that VMs of this shape start from."),
    Command("template list", "template", "List templates.", aliases=("template ls",)),
    Command("template delete", "template", "Delete templates.", aliases=("template rm",)),
    Command("template prune", "template", "Delete every template that no VM runs on."),
    Command(
        "operations list",
        "operations",
        "List what is in progress.",
        aliases=("operations ls",),
    ),
    Command("operations cancel", "operations", "End operations and undo what they have begun."),
    Command("doctor", "host", "Tell whether this host is ready for VMs; changes nothing."),
    Command("setup", "host", "Install what this host lacks."),
    Command("daemon status", "daemon", "Tell whether the daemon runs, and where."),
    Command("daemon run", "daemon", "Run the daemon in the foreground."),
    Command("daemon stop", "daemon", "End the daemon; VMs keep running."),
    Command("daemon restart", "daemon", "End the daemon and start it anew; VMs keep running."),
    Command("daemon logs", "daemon", "Print the daemon's log."),
    Command("config show", "config", "Print every setting and where it came from."),
    Command("config path", "config", "Print where the configuration file is, or would be."),
    Command("config edit", "config", "Edit the configuration file, and check what was written."),
    Command("gc", "gc", "Remove what has our name and belongs to no VM."),
    Command("completion", "completion", "Complete in a shell: print its script, or install it."),
    Command("api-spec", "version", "Print the OpenRPC document of the daemon's API."),
    Command("version", "version", "Print the version.", aliases=("--version", "-V")),
)

GROUPS = {
    "vm": "Virtual machines: run, list, stop, delete.",
    "vm snapshot": "A VM's memory and disk at one moment: keep, put back.",
    "vm workspace": "A git repository in a VM: put it in, bring its changes back.",
    "image": "The root file systems of VMs: pull, build, import.",
    "kernel": "What VMs boot, with their modules.",
    "template": "Memory of images already booted, for fast starts.",
    "operations": "What is in progress: list, cancel.",
    "daemon": "The process that keeps your VMs' records.",
    "config": "Settings, and where each comes from.",
}

OVERVIEW = """\
usage: banger COMMAND ...

A Linux machine of its own for your code, in one command.

  banger vm run                          a machine, and a shell in it
  banger vm run ./repo                   ... with the repository in it
  banger vm run ./repo -- make test      ... run this, exit with its status
  banger vm run --rm ./repo -- make test ... and delete the machine afterwards

commands you will need (`vm` may be left out: banger run, banger ls):
"""
MORE = "\n\nall commands and groups (banger GROUP --help lists what is in one):\n"
OFTEN = (
    "vm run",
    "vm list",
    "vm shell",
    "vm exec",
    "vm workspace export",
    "vm stop",
    "vm delete",
)


def find_command(words: list[str]) -> tuple[Command, list[str]]:
    """Return the command that `words` begin with, and the words after it.

    The verbs of `vm` need no `vm`, and the words of other tools are known.

    Raises:
        UsageError: there is no such command; the hint is what was probably meant.
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
    # A directory of that name may be what `vm run help` means.
    return [*before, "--help"] if is_command and not after and not os.path.exists("help") else words


def find_group(words: list[str]) -> str | None:
    """Return the group's name if `words` are one, with or without a help option; else None."""
    names = [word for word in words if word not in ("-h", "--help")]
    group = " ".join(names)
    if group in GROUPS or not names:
        return group
    return f"vm {group}" if f"vm {group}" in GROUPS else None


def render_group(group: str) -> str:
    """Return the help page of a group, or the overview for ``."""
    if not group:
        often = [_line(c.path, c.summary) for c in COMMANDS if c.path in OFTEN]
        others = {c.path.split()[0]: c.summary for c in COMMANDS}
        others |= {name: text for name, text in GROUPS.items() if " " not in name}
        lines = [_line(name, text) for name, text in others.items()]
        return OVERVIEW + "\n".join(often) + MORE + "\n".join(lines) + "\n"
    inside = [c for c in COMMANDS if c.path.startswith(f"{group} ")]
    lines = [_line(c.path.removeprefix(f"{group} "), c.summary) for c in inside]
    return f"usage: banger {group} COMMAND ...\n\n{GROUPS[group]}\n\n" + "\n".join(lines) + "\n"


WIDTH = 20
"""Of the names in a list of commands."""


def _line(name: str, summary: str) -> str:
    import textwrap

    text = textwrap.wrap(summary, 78 - WIDTH)
    return "\n".join(
        [f"  {name.ljust(WIDTH)}{text[0]}", *(" " * (WIDTH + 2) + line for line in text[1:])]
    )
