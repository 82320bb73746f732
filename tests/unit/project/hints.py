"""The hints of our sources, as far as they can be read there; what the tests of hints share."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from banger.cli.app.table import COMMANDS, GROUPS
from banger.config import load_settings
from tests.unit.project.sources import CHECKOUT, iterate_modules

UNKNOWN = "X"
"""Stands in a text for what is only known when it is made."""
DESTROYERS = {"delete", "rm", "kill", "prune", "restore", "cancel", "gc"}
FOREIGN_DESTROYERS = re.compile(
    r"(?<!-)\b(rm|kill|truncate|unlink|stash|clean)\b|\bmkfs|reset --hard|branch -D"
)
NAMES = {name: command for command in COMMANDS for name in (command.path, *command.aliases)}


def iterate_hints() -> Iterator[tuple[str, str]]:
    """Yield (place, text) for each text that a hint of ours can have."""
    for name, tree in iterate_modules("src"):
        known = _assigned(tree)
        for node in ast.walk(tree):
            for value in _hint_values(node):
                for text in _texts(value, known):
                    yield f"{name}:{value.lineno}", text


def _hint_values(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.keyword(arg="hint", value=value):
            yield value
        case ast.Assign(targets=[ast.Attribute(attr="hint")], value=value):
            yield value
        case ast.Assign(targets=[ast.Name(id="HINT")], value=value):
            yield value
        case ast.FunctionDef(name=name) if "hint" in name or name.startswith("_plan_"):
            yield from (n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value)


def _assigned(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """Return what the names of a module, and of its functions, can stand for."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return found


def _texts(node: ast.expr, known: dict[str, list[ast.expr]], depth: int = 0) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else UNKNOWN for part in parts
            )
        case ast.IfExp(body=first, orelse=second):
            yield from (text for part in (first, second) for text in _texts(part, known, depth))
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts):
            yield from (text for part in parts for text in _texts(part, known, depth))
        case ast.Dict(values=parts):
            yield from (text for part in parts for text in _texts(part, known, depth))
        case ast.Call(func=ast.Name(id="format_near_hint"), keywords=keywords):
            yield from (text for k in keywords for text in _texts(k.value, known, depth))
        case ast.Name(id=name) if depth < 2:
            for value in known.get(name, []):
                yield from _texts(value, known, depth + 1)


def find_faults(hint: str) -> list[str]:
    """Return what is wrong with a hint: it destroys, or names what there is not."""
    faults = ["destroys"] if FOREIGN_DESTROYERS.search(re.sub(r"banger [^,;(]*", "", hint)) else []
    for line in re.findall(r"(?<![/\w])banger ([^,;()|]*)", hint):
        faults += _find_command_faults(line.split(" -- ")[0].split())
    if hint.startswith("--"):
        known = {text for command in COMMANDS for text in _options(command.path)}
        faults += [f"no {o}" for o in re.findall(r"--[a-z][a-z-]+", hint) if o not in known]
    sections = {key.partition(".")[0] for key in _settings() if "." in key}
    faults += [
        f"no setting {key}"
        for key in re.findall(r"\b[a-z]+\.[a-z_]+\b", hint)
        if key.partition(".")[0] in sections and key not in _settings()
    ]
    return faults


def _find_command_faults(words: list[str]) -> list[str]:
    path = next((p for n in (3, 2, 1) if (p := " ".join(words[:n])) in NAMES), None)
    if path is None:
        group = " ".join(words[:1]) in GROUPS
        is_page = "--help" in words and (group or words[0] == "--help")
        is_open = not words or words == [UNKNOWN] or (group and words[1:2] == [UNKNOWN])
        return [] if is_page or is_open or words == ["--version"] else [f"no command {words}"]
    destroys = path.split()[-1] in DESTROYERS and not {"--dry-run", "--help"} & set(words)
    options = [word for word in words if re.match(r"--?[a-z]", word) and word != path]
    missing = [o for o in options if o.partition("=")[0] not in _options(NAMES[path].path)]
    return ["destroys"] * destroys + [f"{path} has no {option}" for option in missing]


def _options(path: str) -> set[str]:
    parser, _ = NAMES[path].load()
    return {text for action in parser._actions for text in action.option_strings}


def _settings() -> set[str]:
    return {key for key, _, _ in load_settings(CHECKOUT / "none.toml", {}).items()}
