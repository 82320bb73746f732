"""A daemon that knows the toys: `python -m tests.support.toys`."""

from __future__ import annotations

import sys

from tests.support.toys import add_toys


def run() -> int:
    """Run the daemon in the foreground."""
    add_toys()
    # Only now: settings read the tables when they are loaded.
    from banger.daemon.__main__ import main
    from banger.daemon.app import open_handlers

    return main(open_handlers)


if __name__ == "__main__":
    sys.exit(run())
