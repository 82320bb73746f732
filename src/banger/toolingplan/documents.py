"""Files in TOML and JSON that pin tools. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from banger.tomlkeys import load_document
from banger.toolingplan.pins import Found, Problem, make_pin, pin_range, show

TOOLS_MAX = 200
_MANAGERS = ("npm", "pnpm", "yarn", "bun")


def parse_mise(untrusted_text: str) -> tuple[Found, ...]:
    """Parse the tools of `mise.toml`; its variables, tasks and hooks are left alone."""
    document = _load_toml(untrusted_text)
    if isinstance(document, Problem):
        return (document,)
    tools = document.get("tools", {})
    if not isinstance(tools, dict):
        return (Problem("tools is not a table."),)
    return tuple(_pin_mise(tool, value) for tool, value in list(tools.items())[:TOOLS_MAX])


def _pin_mise(tool: str, untrusted_value: object) -> Found:
    value = untrusted_value
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("version")
    if not isinstance(value, str):
        return Problem(f"{show(tool)} has no version.")
    if ":" in tool:
        return Problem(f"{show(tool)} uses a backend of mise, and is left to mise.")
    return make_pin(tool, value)


def parse_rust_toolchain_toml(untrusted_text: str) -> tuple[Found, ...]:
    """Parse the channel of `rust-toolchain.toml`."""
    document = _load_toml(untrusted_text)
    if isinstance(document, Problem):
        return (document,)
    toolchain = document.get("toolchain")
    channel = toolchain.get("channel") if isinstance(toolchain, dict) else None
    if not isinstance(channel, str):
        return (Problem("There is no channel."),)
    return (make_pin("rust", channel),)


def parse_package_json(untrusted_text: str) -> tuple[Found, ...]:
    """Parse `engines.node` and `packageManager` of `package.json`."""
    try:
        document = json.loads(untrusted_text)
    except (ValueError, RecursionError):
        return (Problem("It is not valid JSON."),)
    if not isinstance(document, dict):
        return (Problem("It is not a JSON object."),)
    found: list[Found] = []
    engines = document.get("engines")
    if isinstance(engines, dict) and isinstance(engines.get("node"), str):
        found.append(pin_range("node", engines["node"].strip()))
    manager = document.get("packageManager")
    if isinstance(manager, str):
        found.append(_pin_manager(manager))
    return tuple(found)


def _pin_manager(untrusted_text: str) -> Found:
    """Parse `pnpm@8.15.4+sha224.0123`; the hash is corepack's."""
    name, _, rest = untrusted_text.partition("@")
    if name not in _MANAGERS:
        return Problem(f"{show(untrusted_text)} is not a known package manager.")
    return make_pin(name, rest.partition("+")[0])


def _load_toml(untrusted_text: str) -> Mapping[str, object] | Problem:
    try:
        return load_document(untrusted_text)
    except (ValueError, RecursionError):
        return Problem("It is not valid TOML.")
