"""`version`, `api-spec`: the program's version, and the documents of its API."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.terminal.output import format_json
from banger.version import VERSION


def _configure_version(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _version(arguments: Namespace, context: Context) -> int:
    context.out(format_json({"version": VERSION}) if arguments.json else f"banger {VERSION}")
    return 0


def _configure_api_spec(parser: Parser) -> None:
    parser.add_argument(
        "--openapi", action="store_true", help="print the OpenAPI document of `banger web` instead"
    )


def _api_spec(arguments: Namespace, context: Context) -> int:
    from banger.api.openapi import render_openapi
    from banger.api.openrpc import render_openrpc

    context.out(format_json(render_openapi() if arguments.openapi else render_openrpc()))
    return 0


COMMANDS = {"version": (_configure_version, _version), "api-spec": (_configure_api_spec, _api_spec)}
