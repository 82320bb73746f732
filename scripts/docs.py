"""Writes the generated pages of docs/ and modules; with --check, only tells which are out of date.

The pages: errors.md (from `banger.errors`), api.md (from the method table), cli.md and banger.1
(from the command line's help pages), configuration.md (from the table of settings), promises.md
(from hazards.toml and the docstrings of the tests). The modules: api/documents.py and
client/calls.py (from the method table), most of sdk/sync (from sdk/aio).
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from banger import errors
from banger.api.reference import render_reference as render_api
from banger.cli.app.reference import render_reference as render_cli
from banger.errors import BangerError
from banger.setting import HostSize, format_value
from banger.settings import OPTIONS

sys.path.insert(0, str(Path(__file__).parent))
from manual import render_manual
from sync_clients import list_modules, render_module
from typed_calls import render_calls, render_documents

CHECKOUT = Path(__file__).resolve().parent.parent
DOCS = CHECKOUT / "docs"
PACKAGE = "../src/banger"
HAZARD = re.compile(r"\b([A-I](?:1[0-2]|[1-9]))\b")

ERRORS_INTRODUCTION = """\
# Errors

<!-- Made by `make docs` from src/banger/errors.py; do not edit. -->

Every error that a user or a client can see. The code is stable: it never comes to mean
something else. The API carries it, with one sentence of fact, often a hint (a command to run), and
the id of the operation. With `--json` the command line prints an error as one line of JSON on
stderr, an object `error` with `code`, `message`, `hint`, `details`, `operation_id`, `retryable` and
`exit_code`.

The command line ends with the exit code, except where a command of the guest runs (`vm run`,
`vm exec`, `vm shell`): there the guest's status passes through, and our own failures are 125.

| code | exit | when |
|---|---|---|
"""


PROMISES_INTRODUCTION = """\
# Promises

<!-- Made by `make docs` from docs/hazards.toml and the tests' docstrings; do not edit. -->

What must always be true, and the tests that hold it. A test says so by naming the number in
its docstring.
"""


def render_errors() -> str:
    """Return the page of all error codes, families first."""
    rows = [
        f"| `{kind.code}` | {kind.exit_code} | {_first_line(kind)} |"
        for kind in _iterate_errors(BangerError)
        if kind is not BangerError
    ]
    return ERRORS_INTRODUCTION + "\n".join(rows) + "\n"


def _iterate_errors(kind: type[BangerError]) -> Iterator[type[BangerError]]:
    """Yield an error class and all below it, in the order of the file."""
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _iterate_errors(child)


def _first_line(kind: type[BangerError]) -> str:
    return " ".join((inspect.getdoc(kind) or "").split()).replace("|", "\\|")


def render_promises() -> str:
    """Return the page of promises, each with the tests that name it."""
    holders = find_holders()
    hazards = tomllib.loads((DOCS / "hazards.toml").read_text("utf-8"))
    parts = [PROMISES_INTRODUCTION]
    for chapter, promises in hazards.items():
        parts.append(f"## {chapter.replace('-', ' ').capitalize()}\n")
        for number, promise in promises.items():
            tests = holders.pop(number, [])
            parts.append(f"**{number}.** {promise}\n\n{_render_tests(tests)}\n")
    if holders:
        raise SystemExit(f"tests name hazards that hazards.toml does not have: {holders}")
    return "\n".join(parts)


def _render_tests(tests: list[str]) -> str:
    """Return a list with a line for each file: branches that add tests to others merge."""
    files: dict[str, list[str]] = {}
    for test in tests:
        file, _, name = test.partition("::")
        files.setdefault(file, []).extend([f"`{name}`"] if name else [])
    lines = (
        f"- `{file}`{': ' if names else ''}{', '.join(names)}" for file, names in files.items()
    )
    return "\n".join(lines) or "- no test yet"


CONFIGURATION = """# Configuration

Settings are in `~/.config/banger/config.toml`. `banger config path` prints the path, and `banger
config edit` opens the file in `$VISUAL` or `$EDITOR` and checks the result. A flag of a command
takes precedence over an environment variable, which takes precedence over the file, which takes
precedence over the default. `banger config show` prints each value and where it came from.

The daemon applies changes of the file without a restart. It takes environment variables from the
caller of each request; its own work (the log, the pool, the template cache) uses the environment
that it was started in. If the file becomes invalid, banger reports it and the last valid settings
stay in force. `log_level` is read when the daemon starts.

```toml
default_image = "debian-trixie"
vm_defaults.memory_mib = "2G"
template.enabled = false

[[file_sync]]
host = "~/.gitconfig"
mode = "0644"
```

A table `[[file_sync]]` names a regular file in your home directory that is copied into each VM when
the VM is created and started: to the absolute path `guest`, or by default to the same place in
root's home, with the mode `mode`, by default 0600. Links are not followed, and neither templates
nor waiting clones contain the files. If a file cannot be read, banger says so and creates the VM
without it.

| key | variable | what it sets | without being set |
|---|---|---|---|
"""


def render_configuration() -> str:
    """Return the page of settings, from their table."""
    host = HostSize(cores=8, memory_mib=16384)
    rows = []
    for option in OPTIONS:
        value, why = option.default(host)
        default = (
            "scales with the host" if why.startswith("default:") else f"`{format_value(value)}`"
        )
        shown = default if str(value) else "nothing"
        rows.append(f"| `{option.key}` | `{option.variable}` | {option.doc} | {shown} |\n")
    return CONFIGURATION + "".join(rows)


def find_holders() -> dict[str, list[str]]:
    """Return hazard -> the tests (of `make test-kvm`, too) whose docstrings name it, sorted."""
    found: dict[str, set[str]] = {}
    tests = CHECKOUT / "tests"
    for path in sorted((*tests.rglob("test_*.py"), *tests.joinpath("kvm").glob("*.py"))):
        name = str(path.relative_to(CHECKOUT))
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                place = name if isinstance(node, ast.Module) else f"{name}::{node.name}"
                for hazard in expand(ast.get_docstring(node) or ""):
                    found.setdefault(hazard, set()).add(place)
    return {hazard: sorted(tests) for hazard, tests in found.items()}


def expand(docstring: str) -> set[str]:
    """Return the hazards that a docstring names; `A7-A9` names three."""
    found = set(HAZARD.findall(docstring))
    for letter, first, last in re.findall(r"\b([A-I])(\d+)-\1(\d+)\b", docstring):
        found |= {f"{letter}{number}" for number in range(int(first), int(last) + 1)}
    return found


PAGES: dict[str, Callable[[], str]] = {
    "errors.md": render_errors,
    "api.md": render_api,
    "cli.md": render_cli,
    "banger.1": render_manual,
    "configuration.md": render_configuration,
    "promises.md": render_promises,
    f"{PACKAGE}/api/documents.py": render_documents,
    f"{PACKAGE}/client/calls.py": render_calls,
    **{f"{PACKAGE}/sdk/sync/{name}": partial(render_module, name) for name in list_modules()},
}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check return 1 if one would change."""
    stale = [name for name, render in PAGES.items() if _read(DOCS / name) != render()]
    if arguments == ["--check"]:
        for name in stale:
            print(f"docs/{name} is out of date: make docs", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(PAGES[name](), "utf-8")
        print(f"wrote docs/{name}")
    return 0


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
