"""Our own sources, parsed; what the tests of the house rules share."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
PACKAGE = CHECKOUT / "src/banger"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def parse(path: Path) -> ast.Module:
    """Return the syntax tree of one file."""
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def iterate_modules(*roots: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield (path relative to the checkout, tree) of the Python files below `roots`."""
    for root in roots:
        for path in sorted((CHECKOUT / root).rglob("*.py")):
            yield str(path.relative_to(CHECKOUT)), parse(path)


def iterate_functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Yield (qualified name, function) for each function, nested ones too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            yield prefix + node.name, node
            yield from iterate_functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from iterate_functions(node, f"{prefix}{node.name}.")
        else:
            yield from iterate_functions(node, prefix)


def count_lines(node: Function | ast.ClassDef) -> int:
    """Return how many lines a function or class has."""
    assert node.end_lineno
    return node.end_lineno - node.lineno + 1


def load_exceptions(kind: str) -> dict[str, str]:
    """Return the places that may break one rule, each with its reason."""
    text = Path(__file__).with_name("exceptions.toml").read_text("utf-8")
    return dict(tomllib.loads(text).get(kind, {}))
