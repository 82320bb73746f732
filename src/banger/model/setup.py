"""Setup commands of a repository, whose result is kept as a template. Pure."""

from __future__ import annotations

import posixpath

from msgspec import Struct, field

from banger.errors import InvalidRequest

COMMANDS_MAX, INPUTS_MAX = 101, 100
"""A file of a repository has 100 commands at most; before them, its tools are installed."""
PATH_MAX = 1000
COMMAND_MAX = 16 * 1024
"""Characters of a command."""
INPUTS_MAX_BYTES = 4 * 1024 * 1024
"""Of all inputs together; they are part of the request."""


class SetupInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that the commands read."""

    path: str
    """Relative to the directory, without `..`."""
    content: bytes
    """In Base64."""
    executable: bool = False


class Setup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Commands that make a VM ready, and what they depend on."""

    commands: list[str]
    """Run in turn by `/bin/sh -c`, as root; one that fails ends the making of the VM."""
    directory: str
    """Where they run: an absolute path, that of the workspace. Its content is then moved aside,
    and into the workspace by `workspace.prepare`."""
    inputs: list[SetupInput] = field(default_factory=list)
    optional: bool = False
    """Only for VMs with a network, from templates; after a failure the VM is made without."""


def require_setup(untrusted: Setup) -> None:
    """Check setup commands and their inputs.

    Raises:
        InvalidRequest: there is nothing to run, or something is not possible or too much.
    """
    commands, inputs = untrusted.commands, untrusted.inputs
    if not 0 < len(commands) <= COMMANDS_MAX or len(inputs) > INPUTS_MAX:
        raise InvalidRequest(
            f"A setup has 1 to {COMMANDS_MAX} commands and at most {INPUTS_MAX} inputs."
        )
    if not all(map(is_command, commands)):
        raise InvalidRequest(f"A setup command is not a text of 1 to {COMMAND_MAX} characters.")
    directory = untrusted.directory
    if not directory.startswith("/") or not is_plain_path(directory[1:]):
        raise InvalidRequest(f"{directory!r:.200} is not an absolute path of a directory.")
    for each in inputs:
        if not is_plain_path(each.path):
            raise InvalidRequest(f"{each.path!r:.200} is not a path below a repository.")
    if len({each.path for each in inputs}) < len(inputs):
        raise InvalidRequest("An input of the setup commands is given twice.")
    if sum(len(each.content) for each in inputs) > INPUTS_MAX_BYTES:
        raise InvalidRequest(f"The inputs of setup have more than {INPUTS_MAX_BYTES} bytes.")


def is_command(untrusted_text: str) -> bool:
    """Tell whether a text can be a setup command: UTF-8, not blank, without a NUL."""
    is_utf8 = not any("\ud800" <= char <= "\udfff" for char in untrusted_text)
    return (
        is_utf8
        and "\0" not in untrusted_text
        and bool(untrusted_text.strip())
        and len(untrusted_text) <= COMMAND_MAX
    )


def is_plain_path(untrusted_path: str) -> bool:
    """Tell whether a relative path is normal: no `..`, no empty part, no NUL."""
    parts = untrusted_path.split("/")
    return (
        "\0" not in untrusted_path
        and len(untrusted_path) <= PATH_MAX
        and not any(part in ("", ".", "..") for part in parts)
    )


def aside_directory(directory: str) -> str:
    """Return where what setup made waits for the workspace to be put in."""
    parent, name = posixpath.split(directory)
    return posixpath.join(parent, f".{name}.banger-setup")
