"""`banger ui`: a link that works once, and a browser that is not told of it by its arguments."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.component.daemon.running import DEADLINE_S, banger, popen, wait_until
from tests.component.web.fronts import Environ, Front

LINK = re.compile(r"(http://127\.0\.0\.1:(\d+)/)#t=(\S+)\n")


@contextlib.contextmanager
def _page(environ: Environ, *options: str) -> Iterator[re.Match[str]]:
    """Run a front with its page, ended as by ctrl-C; yield the link that it prints."""
    with popen(environ, "ui", "--listen", "127.0.0.1:0", *options) as process:
        try:
            assert process.stdout is not None
            found = LINK.fullmatch(process.stdout.readline().decode())
            assert found
            yield found
        finally:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said


def test_the_link_works_once(front: Front, environ: Environ, tmp_path: Path) -> None:
    with _page(environ, "--no-browser") as link:
        own = Front(int(link[2]), "", tmp_path)
        body = f'{{"token": "{link[3]}"}}'.encode()
        sent = {
            "Host": own.host,
            "Origin": own.origin,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }
        assert own.send("POST", "/session", body, sent).status == 200
        assert own.send("POST", "/session", body, sent).status == 401


def test_a_browser_gets_the_link_by_a_private_file(
    front: Front, environ: Environ, tmp_path: Path
) -> None:
    """G6: others can read the arguments of processes. The browser may run as long as it likes."""
    browser, seen, closed = tmp_path / "browser", tmp_path / "seen", tmp_path / "closed"
    browser.write_text(
        f'#!/bin/sh\necho "$1" > {seen}.part; mv {seen}.part {seen}\n'
        f"while [ ! -e {closed} ]; do sleep 0.1; done\n"
    )
    browser.chmod(0o755)
    (folder := tmp_path / "50% #1").mkdir()
    own = {"BROWSER": str(browser), "DISPLAY": ":99", "TMPDIR": str(folder)}
    with _page({**environ, **own}) as link:
        wait_until(seen.exists, "the browser")
        assert link[3] not in seen.read_text()
        path = Path(unquote(urlsplit(seen.read_text().strip()).path))
        assert f'url={link[1]}#t={link[3]}"' in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
        assert Front(int(link[2]), "", tmp_path).request("GET", "/").status == 200
        closed.touch()
    assert not os.path.exists(path)


def test_the_page_may_be_opened_by_a_file(front: Front) -> None:
    """Only the page itself, which is the same for everybody, and only by going there."""
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert front.request("GET", "/", headers=headers).status == 200
    for path in ("/static/app.js", "/openapi.json", "/x/..//"):
        assert front.request("GET", path, headers=headers).status == 403
    assert front.request("POST", "/", b"{}", headers).status == 403


def test_a_page_needs_an_address(environ: Environ, tmp_path: Path) -> None:
    done = banger(environ, "ui", "--no-browser", "--listen", str(tmp_path / "socket"))
    assert done.returncode == 2 and b"banger ui --listen 127.0.0.1:0" in done.stderr
