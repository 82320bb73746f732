"""Shared parts of the commands about sessions."""

from __future__ import annotations

import shlex

from banger.cli.app.parser import Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from banger.api.documents import SessionView
    from banger.cli.app.context import Context
    from banger.client.attachment import Attachment


def add_session(parser: Parser) -> None:
    """Add the arguments that name a VM and one of its sessions."""
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    parser.add_argument("name", metavar="SESSION", help="name of the session")


def add_sessions(parser: Parser) -> None:
    """Add the arguments that name a VM and several of its sessions."""
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    parser.add_argument("names", nargs="+", metavar="SESSION", help="name of the session")


def exit_status(ended: Mapping[str, object]) -> int:
    """Return a program's exit as a shell reports it: 128+N for signal N."""
    status, number = ended.get("status"), ended.get("signal")
    if isinstance(number, int) and number:
        return 128 + number
    return status if isinstance(status, int) else 0


def describe_state(view: SessionView) -> str:
    """Return `running`, `exited (3)`, `killed (9)`."""
    if view["state"] == "running":
        return "running"
    return f"killed ({view['signal']})" if view["signal"] else f"exited ({view['status']})"


def format_command(view: SessionView) -> str:
    """Return the command line as one could type it."""
    return shlex.join(view["argv"])


def open_attachment(context: Context, params: dict[str, object]) -> Attachment:
    """Return an attachment that tells on stderr of what is lost."""
    from banger.client.attachment import Attachment

    attachment = Attachment(context.client, params)
    # The terminal may be in raw mode, where a line end alone does not return to the margin.
    attachment.on_gap = lambda size: context.say(
        f"\rbanger: {size} bytes of output before this are no longer kept.\r"
    )
    attachment.on_lost_input = lambda: context.say(
        "\rbanger: The daemon disconnected; some of the input may be lost.\r"
    )
    return attachment
