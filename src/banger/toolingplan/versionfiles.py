"""Files that hold a version, or lines of tools and versions. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from banger.toolingplan.pins import (
    LATEST,
    Found,
    Pin,
    Problem,
    first,
    iterate_lines,
    make_pin,
    pin_range,
    show,
)

Parse = Callable[[str], tuple[Found, ...]]

_SYSTEM = "system"
"""What version managers call that no version of theirs is used."""
_RUBY = re.compile(r"""ruby\s*\(?\s*(["'])([^"'\n]{1,80})\1""")
_GO = re.compile(r"(go|toolchain)\s+(\S+)")
_UV_PYTHON = re.compile(r'requires-python\s*=\s*"([^"\n]{1,80})"')


def one_version(tool: str) -> Parse:
    """Return the parser of a file with a version of one tool, such as `.python-version`."""

    def parse(untrusted_text: str) -> tuple[Found, ...]:
        lines = iterate_lines(untrusted_text)
        words = (line.split()[0].removeprefix(f"{tool}-") for line in lines)
        return first(make_pin(tool, word) for word in words if word != _SYSTEM)

    return parse


def parse_node_version(untrusted_text: str) -> tuple[Found, ...]:
    """Parse `.nvmrc` and `.node-version`, with nvm's words for releases."""
    return first(map(_pin_node, iterate_lines(untrusted_text)))


def _pin_node(word: str) -> Found:
    if word in ("node", "stable", "current"):
        return Pin("node", LATEST)
    if word == "lts/*":
        return Pin("node", "lts")
    return make_pin("node", word.replace("lts/", "lts-", 1))


def parse_tool_versions(untrusted_text: str) -> tuple[Found, ...]:
    """Parse asdf's `.tool-versions`: of several versions the first is taken."""
    found: list[Found] = []
    for line in iterate_lines(untrusted_text):
        tool, *versions = line.split()
        if not versions:
            found.append(Problem(f"{show(line)} has no version."))
        elif versions[0] != _SYSTEM:
            found.append(make_pin(tool, versions[0]))
    return tuple(found)


def parse_go_mod(untrusted_text: str) -> tuple[Found, ...]:
    """Parse `go.mod`: the toolchain where there is one, else the version of the language."""
    said: dict[str, str] = {}
    for line in untrusted_text.splitlines():
        if found := _GO.fullmatch(line.partition("//")[0].strip()):
            said.setdefault(found[1], found[2].removeprefix("go"))
    version = said.get("go")
    if said.get("toolchain", "default") != "default":
        version = said["toolchain"]
    return () if version is None else (make_pin("go", version),)


def parse_gemfile(untrusted_text: str) -> tuple[Found, ...]:
    """Parse the `ruby` line of a `Gemfile`, which is a program and is not run."""
    lines = (_RUBY.match(line) for line in iterate_lines(untrusted_text))
    return first(pin_range("ruby", line[2].strip()) for line in lines if line)


def parse_uv_lock(untrusted_text: str) -> tuple[Found, ...]:
    """Parse the head of `uv.lock`: uv itself, and the oldest Python that it is for."""
    uv = Pin("uv", LATEST)
    found = _UV_PYTHON.search(untrusted_text[:4096])
    return (uv,) if found is None else (uv, pin_range("python", found[1].strip()))


def parse_rust_toolchain(untrusted_text: str) -> tuple[Found, ...]:
    """Parse `rust-toolchain` of old, which is a channel alone."""
    return first(make_pin("rust", line) for line in iterate_lines(untrusted_text))
