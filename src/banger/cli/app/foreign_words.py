"""Commands of docker, podman, kubectl, lima, multipass, vagrant and git. Pure.

Loaded only when no command has the typed name. A word with the meaning of a banger command is
accepted as that command; for something that banger does in another way there is a hint.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence

from banger.cli.app.usage import UsageError
from banger.nearnames import find_near

VERBS = {
    "copy": "cp",
    "describe": "show",
    "destroy": "delete",
    "enter": "shell",
    "get": "list",
    "halt": "stop",
    "info": "show",
    "inspect": "show",
    "load": "import",
    "log": "logs",
    "new": "create",
    "poweroff": "stop",
    "reboot": "restart",
    "reload": "restart",
    "remove": "delete",
    "revert": "restore",
    "scp": "cp",
    "sh": "shell",
    "shutdown": "stop",
    "suspend": "pause",
    "take": "create",
    "terminate": "delete",
    "transfer": "cp",
    "unpause": "resume",
}
"""Other tools' verb -> banger's, in every group that has the verb."""

COMMANDS = {
    "attach": "vm session attach",
    "images": "image list",
    "kernels": "kernel list",
    "load": "image import",
    "pull": "image pull",
    "rmi": "image delete",
    "templates": "template list",
    "vms": "vm list",
}
"""Other tools' command -> banger's, with the same arguments."""

SETTING = "banger config edit"

INSTEAD = {
    "build": "banger image build --file RECIPE NAME",
    "config get": "banger config show",
    "config set": SETTING,
    "config view": "banger config show",
    "image push": "banger image --help",
    "image save": "banger image --help",
    "image search": "banger image catalog",
    "image tag": "banger image import FILE NAME",
    "info": "banger doctor",
    "login": "docker login REGISTRY (what docker has stored is used)",
    "logout": "docker logout REGISTRY (what docker has stored is used)",
    "prune": "banger gc --dry-run",
    "push": "banger image --help",
    "save": "banger image --help",
    "search": "banger image catalog",
    "status": "banger vm list",
    "system": "banger gc --dry-run",
    "tag": "banger image import FILE NAME",
    "upgrade": "pipx upgrade banger",
    "vm build": "banger image build --file RECIPE NAME",
    "vm clone": "banger vm fork {0:VM}",
    "vm diff": "banger vm workspace diff {0:VM}",
    "vm edit": "banger vm set {0:VM} --memory 4G",
    "vm export": "banger vm commit {0:VM} IMAGE",
    "vm forward": "banger vm ports {0:VM}",
    "vm images": "banger image list",
    "vm init": "banger vm run PATH",
    "vm ip": "banger vm show {0:VM}",
    "vm launch": "banger vm run --image {0:IMAGE}",
    "vm mount": "banger vm workspace prepare VM PATH",
    "vm pull": "banger image pull {0:IMAGE}",
    "vm attach": "banger vm session attach {0:VM} {1:SESSION}",
    "vm rename": "banger vm set {0:VM} --name {1:NAME}",
    "vm scale": "banger vm set {0:VM} --vcpu 2",
    "vm sessions": "banger vm session list {0:VM}",
    "vm snapshots": "banger vm snapshot list {0:VM}",
    "vm sync": "banger vm workspace sync {0:VM}",
    "vm up": "banger vm run PATH",
    "vm update": "banger vm set {0:VM} --memory 4G",
    "vm workspace pull": "banger vm workspace apply {0:VM}",
    "vm workspace push": "banger vm workspace prepare {0:VM} PATH",
}
"""Typed words -> the banger command to suggest.

{N:WORD} stands for the Nth word after the typed words, default WORD. Entries that begin with `vm`
also match without that word.
"""
OF_A_VM = {
    "vm port": "banger vm port list",
    "vm session": "banger vm session list",
    "vm snapshot": "banger vm snapshot create",
}
"""Groups that may be followed by a VM, and the command that is meant then."""
NOT_ALONE = ("prune",)
"""Verbs that need their group: without a group the object might not be a VM."""
COPIES = ("rsync", "push-file", "pull-file")


def find_words(words: Sequence[str], known: Collection[str]) -> list[str] | None:
    """Return the equivalent banger words; None if banger has no equivalent."""
    if words[0] in NOT_ALONE or (words[0] in INSTEAD and len(words) == 1):
        return None
    for own in (words, ["vm", *words]):
        for depth in (3, 2, 1):
            group, _, verb = " ".join(own[:depth]).rpartition(" ")
            command = f"{group} {VERBS.get(verb, verb)}".strip()
            if len(own) >= depth and command in known:
                return [*command.split(), *own[depth:]]
    if words[0] in COMMANDS:
        return [*COMMANDS[words[0]].split(), *words[1:]]
    return None


def plan_refusal(
    words: Sequence[str], known: Collection[str], groups: Collection[str]
) -> UsageError:
    """Return the error for words that name no command; its hint is the most likely command."""
    typed = " ".join(words[: len(_find_group(words, groups).split()) + 1])
    if f"vm {words[0]}" in groups:
        words = ["vm", *words]
    hint = _plan_hint(words, _find_group(words, groups), known)
    return UsageError(f"There is no command `banger {typed}`.", hint=hint)


def _plan_hint(words: Sequence[str], group: str, known: Collection[str]) -> str:
    if words[0].startswith("-"):
        return _plan_for_option(words, known)
    if hint := _find_instead(words):
        return hint
    typed, *rest = words[len(group.split()) :]
    for own in (group, "vm"):
        names = {name[len(own) :].split()[0] for name in known if name.startswith(own)}
        if near := find_near(typed, names):
            return "banger " + shlex.join([*own.split(), near, *rest])
    if command := OF_A_VM.get(group):
        return f"{command} {shlex.join([typed, *rest])}"
    return f"banger {group} --help".replace("  ", " ")


def _find_group(words: Sequence[str], groups: Collection[str]) -> str:
    """Return the group at the start of the words, or an empty string."""
    depth = 0
    while depth < len(words) and " ".join(words[: depth + 1]) in groups:
        depth += 1
    return " ".join(words[:depth])


def _find_instead(words: Sequence[str]) -> str | None:
    for own in (words, ["vm", *words]):
        for depth in (3, 2, 1):
            hint = INSTEAD.get(" ".join(own[:depth]))
            if hint is not None and len(own) >= depth:
                return _fill(hint, own[depth:])
        if own[0] == "vm" and len(own) > 1 and own[1] in COPIES:
            return _plan_copy(own[2:])
    return None


def _fill(hint: str, words: Sequence[str]) -> str:
    for place in (0, 1):
        before, found, after = hint.partition(f"{{{place}:")
        if found:
            default, _, after = after.partition("}")
            typed = shlex.quote(words[place]) if place < len(words) else default
            hint = before + typed + after
    return hint


def _plan_copy(words: Sequence[str]) -> str:
    """Return the command line that copies: the words without another tool's options."""
    places = [word for word in words if not word.startswith("-")]
    source, target = (*places, "SRC", "VM:PATH")[:2] if len(places) != 1 else (*places, "VM:PATH")
    return f"banger vm cp {shlex.quote(source)} {shlex.quote(target)}"


def _plan_for_option(words: Sequence[str], known: Collection[str]) -> str:
    """Return the command line with the leading option moved behind the command."""
    if words[0] == "-v":
        return "banger --version"
    rest = [word for word in words if not word.startswith("-")]
    command = find_words(rest, known) if rest else None
    return f"banger {shlex.join([*command, words[0]])}" if command else "banger --help"
