"""Our own terminal and signals while a program runs in a guest.

The terminal's mode is restored on every exit but an uncaught signal. Signals wake the relay's poll
through a pipe and are handled there, never in a signal handler.
"""

from __future__ import annotations

import contextlib
import os
import signal
import termios
import tty
from collections.abc import Iterator

from banger.client.stream import ClientStream

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class GaveUp(Exception):
    """A signal told us to end while the program in the guest still runs."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def terminal_size(fd: int) -> dict[str, int]:
    """Return `rows` and `columns`; 24 by 80 without a terminal."""
    try:
        size = os.get_terminal_size(fd)
    except OSError:
        return {"rows": 24, "columns": 80}
    return {"rows": size.lines or 24, "columns": size.columns or 80}


@contextlib.contextmanager
def raw_mode(fd: int) -> Iterator[None]:
    """Set raw mode for a block, so that every key goes to the guest; no-op without a terminal."""
    if not os.isatty(fd):
        yield
        return
    saved = termios.tcgetattr(fd)
    try:
        tty.setraw(fd, termios.TCSADRAIN)
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(fd, termios.TCSADRAIN, saved)


class GuestSignals:
    """Forwards signals to a stream.

    On a terminal keys are forwarded as bytes, so a signal comes from another process and means:
    end. Without a terminal the first signal goes to the program in the guest; the second ends us,
    which kills the program.
    """

    def __init__(self, stream: ClientStream, *, terminal: int | None) -> None:
        self._stream = stream
        self._terminal = terminal
        self._received = False
        self.fd = -1
        """Readable after a signal has arrived."""

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Catch the signals for a block."""
        self.fd, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        numbers = [*PASSED_ON, *([signal.SIGWINCH] if self._terminal is not None else [])]
        # In this order: a signal caught before the wakeup descriptor is set would be lost.
        old_fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        old = {number: signal.signal(number, _wake) for number in numbers if _is_wanted(number)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(old_fd)
            os.close(self.fd)
            os.close(writing)

    def obey(self, numbers: bytes) -> None:
        """Handle the signals that have arrived.

        Raises:
            GaveUp: a signal tells us to end.
        """
        for number in numbers:
            if number == signal.SIGWINCH:
                if self._terminal is not None:
                    self._stream.put_control({"resize": terminal_size(self._terminal)})
            elif self._terminal is not None or self._received:
                raise GaveUp(number)
            else:
                self._received = True
                self._stream.put_control({"signal": number})


def _is_wanted(number: signal.Signals) -> bool:
    """Return False for a signal that was ignored at our start (nohup): it stays ignored."""
    return signal.getsignal(number) is not signal.SIG_IGN


def _wake(_: int, __: object) -> None:
    """Do nothing: the wakeup descriptor is written only if a Python handler exists."""
