"""The house rules that a machine can check, over our own sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.unit.project.sources import (
    CHECKOUT,
    count_lines,
    iterate_functions,
    iterate_modules,
    load_exceptions,
    parse,
)

BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "core", "lib", "manager"}
MODULE_LINES = 500
FUNCTION_LINES = 60
MEDIAN_LINES = 8
"""Half of all functions are no longer."""
MOST_LINES = 20
"""Nine in ten functions are no longer."""
CLASS_LINES = 300
PARAMETERS = 8
PROCESS_STARTERS = {
    "Popen",
    "check_call",
    "check_output",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "execv",
    "execve",
    "execvp",
    "execvpe",
    "fork",
    "forkpty",
    "popen",
    "posix_spawn",
    "posix_spawnp",
    "system",
}
THE_DOOR = "src/banger/host/programs.py"
PRIVILEGED_DOOR = "src/banger/network/bridge/links.py"
"""Of the program that runs as root, which is a few modules and nothing else of the package."""


def test_no_module_has_a_name_that_says_nothing() -> None:
    for root in ("src", "tests", "scripts", "native"):
        for path in (CHECKOUT / root).rglob("*"):
            assert path.stem.lower() not in BANNED_NAMES, path


def test_sizes_are_within_the_limits_or_have_a_reason() -> None:
    too_big = dict(_find_too_big())
    reasons = load_exceptions("size")
    assert {place: size for place, size in too_big.items() if place not in reasons} == {}
    assert [place for place in reasons if place not in too_big] == []


def test_most_functions_are_short() -> None:
    lengths = sorted(
        count_lines(function)
        for _, tree in iterate_modules("src")
        for _, function in iterate_functions(tree)
    )
    assert lengths[len(lengths) // 2] <= MEDIAN_LINES
    assert lengths[len(lengths) * 9 // 10] <= MOST_LINES


def _find_too_big() -> Iterator[tuple[str, str]]:
    for name, tree in iterate_modules("src"):
        lines = (CHECKOUT / name).read_text("utf-8").count("\n")
        if lines > MODULE_LINES:
            yield name, f"{lines} lines"
        for qualified, function in iterate_functions(tree):
            arguments = function.args
            count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs)
            if count_lines(function) > FUNCTION_LINES or count > PARAMETERS + 1:
                yield f"{name}:{qualified}", f"{count_lines(function)} lines, {count} parameters"
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and count_lines(node) > CLASS_LINES:
                yield f"{name}:{node.name}", f"{count_lines(node)} lines"


def test_only_the_door_starts_processes() -> None:
    """G2: and never through a shell."""
    found = [
        f"{name}:{node.lineno} {used}"
        for name, tree in iterate_modules("src")
        for node in ast.walk(tree)
        for used in _find_process_starts(node)
        if name not in (THE_DOOR, PRIVILEGED_DOOR)
        or used in ("shell=", "system", "popen", "create_subprocess_shell")
    ]
    assert found == []


def _find_process_starts(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (n.name for n in names if n.name.split(".")[0] in ("subprocess", "pty"))
        case ast.ImportFrom(module="subprocess" | "pty" as module):
            yield module
        case ast.Call(func=ast.Attribute(attr=name)) if name in PROCESS_STARTERS:
            yield name
        case ast.keyword(arg="shell"):
            yield "shell="


def test_only_the_boundaries_catch_everything() -> None:
    """A `BaseException` that is raised again after cleaning up is fine."""
    found = {
        name
        for name, tree in iterate_modules("src")
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node)
    }
    assert found == set(load_exceptions("broad-except"))


def _is_broad(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
    if handler.type is None or "Exception" in names:
        return True
    raises_again = any(isinstance(n, ast.Raise) and n.exc is None for n in ast.walk(handler))
    return "BaseException" in names and not raises_again


def test_every_module_says_what_it_owns() -> None:
    assert [name for name, tree in iterate_modules("src") if not ast.get_docstring(tree)] == []


def test_packages_hold_no_code_of_their_own() -> None:
    """Importing anything does nothing. What a package imports on use it imports for checkers."""
    for name, tree in iterate_modules("src"):
        if name.endswith("__init__.py") and name not in load_exceptions("package-code"):
            allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign)
            assert all(isinstance(n, allowed) or _is_for_checkers(n) for n in tree.body), name


def _is_for_checkers(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def test_no_test_waits_by_sleeping() -> None:
    """A test waits for a condition with a deadline; a poll's pause is a fraction of a second."""
    found = [
        f"{path.relative_to(CHECKOUT)}:{node.lineno}"
        for path in sorted((CHECKOUT / "tests").rglob("test_*.py"))
        if "sleep(" in path.read_text("utf-8")
        for node in ast.walk(parse(path))
        if _is_long_sleep(node)
    ]
    assert found == []


def _is_long_sleep(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr="sleep"), args=[ast.Constant(value=int(seconds))]):
            return seconds > 0
        case ast.Call(func=ast.Attribute(attr="sleep"), args=[ast.Constant(value=float(seconds))]):
            return seconds > 0.25
    return False
