"""`web`, `ui`: the HTTP front, its page, and the tokens of programs that use it."""

from __future__ import annotations

import sys
import time
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.values import duration_s
from banger.cli.options.show import add_list_options
from banger.cli.options.targets import each_target
from banger.cli.terminal.output import (
    Column,
    format_age,
    format_json,
    render_table,
    terminal_width,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from banger.api.documents import TokenView

COLUMNS = (
    Column("NAME", least=8, is_vital=True),
    Column("SCOPE"),
    Column("AGE", is_number=True),
    Column("EXPIRES", is_number=True),
    Column("USED", is_number=True),
)
SCOPES = ("read", "use", "manage")
DAY_S = 24 * 3600.0
_WEB_TEXT = (
    "Runs in the foreground, prints its address, and ends with ctrl-C. If a reverse\n"
    "proxy serves it under other names, list them in the setting web.allowed_hosts.\n"
    "Programs need a token: banger web token create NAME."
)
_UI_TEXT = (
    "Runs the HTTP front as `banger web` does, prints a link to its page, and opens\n"
    "it in a browser if there is a display. The link works once, within 30 s."
)
_CREATE_TEXT = (
    "Prints the token for `Authorization: Bearer TOKEN`. It is not shown again.\n"
    "Scopes: read (nothing changes), use (commands, sessions, files and ports of VMs\n"
    "that exist), manage (everything)."
)


def _configure_web(parser: Parser) -> None:
    parser.add_argument(
        "--listen",
        metavar="ADDR:PORT",
        help="where to listen, or the path of a Unix socket (default: setting web.listen)",
    )
    parser.text = _WEB_TEXT


def _web(arguments: Namespace, _: Context) -> NoReturn:
    _become_front(arguments.listen)


def _configure_ui(parser: Parser) -> None:
    _configure_web(parser)
    parser.add_argument(
        "--no-browser", action="store_true", help="print the link without opening a browser"
    )
    parser.text = _UI_TEXT


def _ui(arguments: Namespace, _: Context) -> NoReturn:
    _become_front(arguments.listen, "--page", "print" if arguments.no_browser else "open")


def _become_front(place: str | None, *options: str) -> NoReturn:
    from banger.host.programs import replace_process

    listen = [] if place is None else ["--listen", place]
    replace_process([sys.executable, "-P", "-m", "banger.web", *options, *listen])


def _configure_create(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the token")
    parser.add_argument("--scope", choices=SCOPES, default="read", help="(default: read)")
    parser.add_argument(
        "--expires",
        metavar="TIME",
        type=duration_s,
        default=30 * DAY_S,
        help="time until the token expires (default: 30d)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.text = _CREATE_TEXT


def _create(arguments: Namespace, context: Context) -> int:
    params = {
        "name": arguments.name,
        "scope": arguments.scope,
        "expires_s": arguments.expires,
    }
    with context.client() as client:
        made = client.call("token.create", params)
    context.out(format_json(made) if arguments.json else made["token"])
    return 0


def _configure_list(parser: Parser) -> None:
    add_list_options(parser, what="names")


def _list(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        tokens = client.call("token.list")
    if arguments.json:
        context.out(format_json(tokens))
    elif arguments.quiet:
        for token in tokens:
            context.out(str(token["name"]))
    else:
        now = time.time()
        rows = [_row(token, now) for token in tokens]
        context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


def _row(token: TokenView, now: float) -> list[str]:
    used_at = token["used_at"]
    return [
        str(token["name"]),
        token["scope"],
        format_age(now - token["created_at"]),
        _format_expiry(token["expires_at"], now),
        "never" if used_at is None else format_age(now - used_at),
    ]


def _format_expiry(expires_at: float | None, now: float) -> str:
    if expires_at is None:
        return "never"
    return "expired" if expires_at <= now else format_age(expires_at - now)


def _configure_delete(parser: Parser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="name of the token")


def _delete(arguments: Namespace, context: Context) -> int:
    with context.client() as client:

        def act(name: str) -> None:
            client.call("token.delete", {"name": name})
            context.say(f"deleted {name}")

        return each_target(arguments.names, act, context)


COMMANDS = {
    "ui": (_configure_ui, _ui),
    "web": (_configure_web, _web),
    "web token create": (_configure_create, _create),
    "web token list": (_configure_list, _list),
    "web token delete": (_configure_delete, _delete),
}
