"""`python -m banger.web [--page OPENING] [--listen PLACE]`: the HTTP front's process.

`banger web` becomes it, and `banger ui` with `--page open` or `--page print`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from banger.errors import BangerError, ToolMissing

USAGE = "usage: python -m banger.web [--page open|print] [--listen PLACE]\n"
EXTRA = ("starlette", "uvicorn", "websockets")


def main(arguments: list[str]) -> int:
    """Serve until interrupted; return the exit status."""
    try:
        tell: Callable[[str], None] = _say
        if arguments[:1] == ["--page"]:
            tell = partial(_tell_page, is_opened=arguments[1:2] == ["open"])
            arguments = arguments[2:]
        match arguments:
            case []:
                _serve(None, tell)
            case ["--listen", place]:
                _serve(place, tell)
            case _:
                sys.stderr.write(USAGE)
                return 2
    except KeyboardInterrupt:
        return 0
    except BangerError as error:
        sys.stderr.write(f"banger: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  hint: {error.hint}\n")
        return error.exit_code
    return 0


def _serve(listen: str | None, tell: Callable[[str], None]) -> None:
    try:
        from banger.web.serving import serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRA:
            raise
        raise ToolMissing(
            f"The HTTP front needs Python's package {error.name}, of the extra banger[web].",
            hint=f"{sys.executable} -m pip install 'banger[web]'",
        ) from error
    serve(listen, tell, _warn)


def _tell_page(address: str, *, is_opened: bool) -> None:
    from banger.web.opening import open_page

    open_page(address, is_opened=is_opened, say=_say)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _warn(text: str) -> None:
    sys.stderr.write(f"banger: {text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
