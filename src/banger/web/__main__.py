"""`python -m banger.web [--listen PLACE]`: the HTTP front's process; `banger web` becomes it."""

from __future__ import annotations

import sys

from banger.errors import BangerError, ToolMissing

EXTRA = ("starlette", "uvicorn", "websockets")


def main(arguments: list[str]) -> int:
    """Serve until interrupted; return the exit status."""
    try:
        match arguments:
            case []:
                _serve(None)
            case ["--listen", place]:
                _serve(place)
            case _:
                sys.stderr.write("usage: python -m banger.web [--listen PLACE]\n")
                return 2
    except KeyboardInterrupt:
        return 0
    except BangerError as error:
        sys.stderr.write(f"banger: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  hint: {error.hint}\n")
        return error.exit_code
    return 0


def _serve(listen: str | None) -> None:
    try:
        from banger.web.serving import serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRA:
            raise
        raise ToolMissing(
            f"The HTTP front needs Python's package {error.name}, of the extra banger[web].",
            hint=f"{sys.executable} -m pip install 'banger[web]'",
        ) from error
    serve(listen, _say, _warn)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _warn(text: str) -> None:
    sys.stderr.write(f"banger: {text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
