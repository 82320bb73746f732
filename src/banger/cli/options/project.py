"""What the `banger.toml` of a repository adds to the options of `vm run`.

Precedence: an option, then the environment variable of a setting, then the file, which stands
before the configuration. Runs without the file import nothing of `banger.project`.
"""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.terminal.output import printable
from banger.errors import ConfigInvalid, NotARepository, ProjectUntrusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.project.file import Port, Project

FILE = "banger.toml"
FILES = (FILE, ".devcontainer/devcontainer.json", ".devcontainer.json")
"""The first that exists is taken."""
NOT_AGAIN = (
    *("rm", "fork", "entrypoint", "branch", "from_ref", "include_untracked", "full", "exclude"),
    "read_only",
)
"""Options of `vm run` that only a new VM can have."""


class FoundProject:
    """The file of a repository, read once: what is trusted is what is followed."""

    def __init__(self, top: str, name: str, digest: str, project: Project) -> None:
        self.top = top
        self.name = name
        self.digest = digest
        self.project = project

    @property
    def path(self) -> str:
        """The file."""
        return os.path.join(self.top, self.name)

    @property
    def is_own(self) -> bool:
        """Tell whether it was written for banger."""
        return self.name == FILE


def find_top(path: str) -> str:
    """Return the top of the repository that a directory is in; without one, the directory."""
    from banger.workspace import locate_repository

    try:
        return os.path.realpath(locate_repository(path))
    except NotARepository:
        if not os.path.isdir(path):
            raise
        return os.path.realpath(path)


def find_project(top: str) -> FoundProject | None:
    """Return what a file of a repository asks for; None if there is no such file.

    A `devcontainer.json` counts where there is no `banger.toml`.

    Raises:
        ConfigInvalid: it is not valid, or is no regular file.
    """
    name = next((n for n in FILES if os.path.lexists(os.path.join(top, n))), None)
    if name is None:
        return None
    from banger.host.reading import read_text
    from banger.project.trust import make_digest

    text = read_text(top, name)
    if text is None:
        return None
    kind = FILE if name == FILE else os.path.basename(name).lstrip(".")
    return FoundProject(top, name, make_digest(kind, text.encode()), _parse(text, top, name))


def _parse(untrusted_text: str, top: str, name: str) -> Project:
    path = os.path.join(top, name)
    if name == FILE:
        from banger.project.file import parse_project

        return parse_project(untrusted_text, path)
    from banger.project.devcontainer import parse_devcontainer

    return parse_devcontainer(untrusted_text, path, repository=os.path.basename(top))


def describe(found: FoundProject) -> list[str]:
    """Return lines that say what is asked for, fit for a terminal."""
    from banger.project.file import describe_project

    lines = [*describe_project(found.project), *found.project.left_out]
    if not lines:
        return [f"{printable(found.path)} asks for nothing."]
    return [f"{printable(found.path)} asks for:", *(f"  {printable(line)}" for line in lines)]


def apply_project(arguments: Namespace, context: Context) -> None:
    """Fill in what the file asks for and the options of `vm run` leave open.

    Raises:
        ConfigInvalid: the file is not valid.
        ProjectUntrusted: the user has not trusted its content, and is not here or says no.
    """
    arguments.vm_env, arguments.vm_setup = {}, None
    arguments.vm_on_create = arguments.vm_on_start = ()
    arguments.vm_sessions = {}
    if arguments.path is None or arguments.no_project:
        return
    found = find_project(arguments.path)
    if found is None:
        return
    from banger.project.file import Project

    if found.project == Project():
        return
    if found.is_own:
        _require_trust(found, context, is_dry=arguments.dry_run)
    elif not _is_followed(found, context, quiet=arguments.quiet):
        return
    if found.project.reuse and not any(getattr(arguments, name) for name in NOT_AGAIN):
        arguments.reuse = True
    _fill_in(arguments, found.project)
    if found.project.setup_commands and not arguments.no_setup:
        arguments.vm_setup = _plan_setup(arguments, found)
    if not arguments.no_setup:
        arguments.vm_on_create = found.project.on_create
        arguments.vm_on_start = found.project.on_start
        arguments.vm_sessions = found.project.sessions


def _plan_setup(arguments: Namespace, found: FoundProject) -> dict[str, object]:
    """Return the parameter `setup` of `vm.create`; its directory is that of the workspace."""
    top = arguments.path
    directory = arguments.guest_path or f"/root/{os.path.basename(top)}"
    return {
        "commands": list(found.project.setup_commands),
        "directory": f"/{os.path.normpath(directory).strip('/')}",
        "inputs": [_read_input(found, path) for path in found.project.setup_inputs],
    }


def _read_input(found: FoundProject, path: str) -> dict[str, object]:
    import base64

    from banger.host.reading import read_below
    from banger.model.setup import INPUTS_MAX_BYTES

    content = read_below(found.top, path, limit=INPUTS_MAX_BYTES)
    if content is None:
        raise ConfigInvalid(
            f"{found.path}: the input {path} of the setup commands does not exist.",
            hint="banger vm run --no-setup PATH",
        )
    data = base64.b64encode(content.data).decode("ascii")
    return {"path": path, "content": data, "executable": content.executable}


def _is_followed(found: FoundProject, context: Context, *, quiet: bool) -> bool:
    """Tell whether a file that was not written for banger is trusted; say what becomes of it."""
    from banger.project.trust import is_trusted

    is_followed = is_trusted(context.layout, found.digest)
    notes = [f"{found.name}: {text}" for text in found.project.left_out]
    if not is_followed:
        command = f"banger trust {shlex.quote(found.top)}"
        notes = [f"{found.name} is ignored until you trust it: {command}"]
    for note in () if quiet else notes:
        context.say(printable(note))
    return is_followed


def _require_trust(found: FoundProject, context: Context, *, is_dry: bool) -> None:
    from banger.project.trust import is_trusted, save_trust

    if is_trusted(context.layout, found.digest):
        return
    can_ask = sys.stdin.isatty() and sys.stderr.isatty()
    if can_ask:
        context.say("\n".join(describe(found)))
    if can_ask and is_dry:
        context.say("Without --dry-run, you would be asked whether to trust it.")
        return
    if can_ask:
        from banger.cli.terminal.asking import ask

        if ask("Trust it?"):
            save_trust(context.layout, found.digest, found.path)
            return
    raise ProjectUntrusted(
        f"{found.path} is new or was changed, and is not trusted yet.",
        hint=f"banger trust {shlex.quote(found.top)} (or ignore it: --no-project)",
    )


def _fill_in(arguments: Namespace, project: Project) -> None:
    from banger.project.file import KEYS
    from banger.settings import OPTIONS

    variables = {option.key: option.variable for option in OPTIONS}
    for key in KEYS:
        value = getattr(project, key.field)
        is_set = key.setting is not None and variables[key.setting] in os.environ
        if key.setting and value is not None and not is_set:
            given = getattr(arguments, key.name)
            setattr(arguments, key.name, value if given is None else given)
    published = {(p.get("guest_port"), p.get("protocol", "tcp")) for p in arguments.publish}
    arguments.publish += [
        _port_params(port) for port in project.ports if (port.guest, port.protocol) not in published
    ]
    arguments.vm_env = project.env
    arguments.guest_path = arguments.guest_path or project.guest_path
    arguments.secrets = [*arguments.secrets, *project.secrets]
    arguments.exclude = [*project.exclude, *arguments.exclude]
    arguments.read_only = arguments.read_only or project.read_only


def _port_params(port: Port) -> dict[str, object]:
    params: dict[str, object] = {"guest_port": port.guest, "protocol": port.protocol}
    return params if port.host is None else params | {"host_port": port.host}
