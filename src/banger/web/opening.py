"""The link to the page: an address with a one-time token in its fragment, which no server is sent.

A browser is started with the name of a private file that leads to the link: others can read the
arguments of processes (G6). Owns that file, in the directory for temporary files, until this
process ends; if it is killed the file stays, and its token is refused after 30 s.
"""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

from banger.client.client import Client
from banger.errors import InvalidRequest
from banger.layout import layout_from_environment

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
REDIRECT = '<!doctype html><meta http-equiv="refresh" content="0; url={}">\n'


def open_page(address: str, *, is_opened: bool, say: Callable[[str], None]) -> None:
    """Print the link to the page of a front that listens; open it in a browser if there is one.

    Raises:
        InvalidRequest: the front has no address that browsers know.
        BangerError: the daemon's error.
    """
    if not address.startswith("http"):
        raise InvalidRequest(
            "A browser needs an address and a port.", hint="banger ui --listen 127.0.0.1:0"
        )
    with Client(layout_from_environment(os.environ)) as client:
        link = f"{address}#t={client.call('login.offer')['token']}"
    say(link)
    if is_opened and any(map(os.environ.get, DISPLAYS)):
        url = _write_redirect(link).as_uri()
        # A browser of $BROWSER is waited for, until its user closes it.
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _write_redirect(link: str) -> Path:
    """Return a private file that leads to a link."""
    fd, name = tempfile.mkstemp(".html", "banger-")
    path = Path(name)
    atexit.register(path.unlink, missing_ok=True)
    with open(fd, "w") as file:
        file.write(REDIRECT.format(link))
    return path
