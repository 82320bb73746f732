"""A real browser without a window, told what to do by Chrome's DevTools protocol.

It has a profile of its own below the directory given, and looks for nothing outside this host.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import websockets.sync.client

from tests.support.installations import wait_for

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
DEADLINE_S = 120.0
OPTIONS = (
    "--headless",
    "--no-sandbox",  # it would need rights that containers do not give, and pages here are ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
)
LISTENING = re.compile(r"DevTools listening on (ws://\S+)\n")


def find_browser() -> str | None:
    """Return the path of a browser of this host."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


TRUE_OR_ABSENT = """(() => {{
    try {{ return Boolean({}); }} catch (error) {{
        if (error instanceof TypeError) return false;
        throw error;
    }}
}})()"""
NAVIGATED = ("Inspected target navigated or closed", "Execution context was destroyed.")


class Navigated(Exception):
    """The tab has gone to another page before the script was done."""


class Page:
    """A tab. Its scripts may be asynchronous: their outcome is waited for."""

    def __init__(self, socket: websockets.sync.client.ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def visit(self, url: str) -> None:
        """Go to a page; return when it is there."""
        failed = self.call("Page.navigate", url=url).get("errorText")
        assert failed is None, f"{url}: {failed}"
        self.wait("document.readyState == 'complete'")

    def run(self, script: str) -> Any:
        """Return the value of an expression, or of what it promises."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def leave(self, script: str) -> None:
        """Run a script that goes to another page, which may come before the script's end."""
        with contextlib.suppress(Navigated):
            self.run(script)

    def run_before(self, script: str) -> None:
        """Run a script in each page from now on, before its own."""
        self.call("Page.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def allow_copying(self) -> None:
        """Let pages write to the clipboard, as a browser with a window lets the tab in front."""
        self.call("Browser.grantPermissions", permissions=["clipboardSanitizedWrite"])

    def wait(self, condition: str) -> None:
        """Wait until an expression is true, on whatever page the tab comes to.

        While it asks something of an element that is not there it is false.
        """
        script = TRUE_OR_ABSENT.format(condition)

        def is_true() -> bool:
            try:
                return bool(self.run(script))
            except Navigated:
                return False

        wait_for(is_true, condition)

    def type(self, text: str) -> None:
        """Press the keys of a text in what has the focus."""
        for key in text:
            self.call("Input.dispatchKeyEvent", type="char", text=key)

    def press(
        self,
        key: str,
        code: int,
        *,
        shift: bool = False,
        control: bool = False,
        commands: Sequence[str] = (),
    ) -> None:
        """Press a key that writes nothing, by its name and its Windows key code.

        `commands` of the editor, such as `paste`, are what it does in a field.
        """
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=f"Key{key}" if len(key) == 1 else key,
                windowsVirtualKeyCode=code,
                modifiers=8 * shift + 2 * control,
                commands=commands if kind == "rawKeyDown" else (),
            )

    def click_twice(self, element: str) -> None:
        """Double-click with the mouse near the left end of an element."""
        x, y = self.run(f"(r => [r.x + 4, r.y + r.height / 2])({element}.getBoundingClientRect())")
        for number in (1, 2):
            for kind in ("mousePressed", "mouseReleased"):
                place = {"x": x, "y": y, "button": "left", "clickCount": number}
                self.call("Input.dispatchMouseEvent", type=kind, **place)

    def resize(self, width: int, height: int = 800, *, dark: bool = False) -> None:
        """Change the size of the window and the user's colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self) -> bytes:
        """Return the window as a PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call a method of the DevTools protocol."""
        number = next(self._numbers)
        call = {"id": number, "method": method, "params": params}
        if self._session is not None:
            call["sessionId"] = self._session
        self._socket.send(json.dumps(call))
        while True:
            answer = json.loads(self._socket.recv(timeout=DEADLINE_S))
            if answer.get("id") == number:
                if answer.get("error", {}).get("message") in NAVIGATED:
                    raise Navigated
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result


@contextlib.contextmanager
def open_page(program: str, folder: Path) -> Iterator[Page]:
    """A tab of a browser that is started for the block, and ended with it."""
    folder.mkdir(exist_ok=True)
    said = folder / "said.txt"  # no pipe, which would fill
    with said.open("wb") as output:
        process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "TMPDIR": str(folder)},
            start_new_session=True,
        )
    with process:
        try:
            with websockets.sync.client.connect(
                _read_address(process, said), open_timeout=DEADLINE_S, max_size=None, proxy=None
            ) as socket:
                yield Page(socket)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(process.pid, signal.SIGKILL)
    wait_for(lambda: not _is_running(process.pid), "the end of the browser's processes")


def _is_running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _read_address(process: subprocess.Popen[bytes], said: Path) -> str:
    wait_for(
        lambda: process.poll() is not None or LISTENING.search(said.read_text()),
        "the browser to listen",
    )
    found = LISTENING.search(said.read_text())
    assert found, f"the browser ended: {said.read_text()}"
    return found[1]
