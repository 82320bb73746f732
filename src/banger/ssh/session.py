"""Session channels: a shell, a command or SFTP in the guest.

A command line is run by the user's shell, as an ssh server does it, in the user's home. A client
that leaves hangs up: the program's group gets SIGHUP and the end of its input, so a shell takes its
jobs along while what has detached itself (tmux, an editor's server) lives on. What is still there
after `HANGUP_S` is killed, as by every end of a `vm.exec` (hazard H3).
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable, Mapping

import asyncssh

from banger.api import wire
from banger.client.aio import DaemonStream
from banger.errors import BangerError
from banger.ssh.bridge import Bridge
from banger.ssh.guest import Guest

HANGUP_S = 5.0
FAILED = 255
"""Exit status of the front's own failures, as of ssh itself."""
NOT_EXECUTED = (126, 127)
NOT_FOUND = 127
HOME = 'cd "$HOME" 2>/dev/null; exec "${SHELL:-/bin/sh}"'
"""Enter the user's home and become the user's shell; the agent sets both variables."""
ROOT = "/"
"""Where a program starts: the home may be missing, and `vm.exec` would start in the workspace."""
PEER = {"SSH_CLIENT": "127.0.0.1 0 22", "SSH_CONNECTION": "127.0.0.1 0 127.0.0.1 22"}
"""Set for every program: shells read `~/.bashrc` by it, and prompts show a host."""
PLAIN_SCP = "scp without -O"
ROWS, COLUMNS = 24, 80
"""Of a terminal whose client does not tell its size."""
SIZES = range(1, 65536)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class GuestSession(Bridge, asyncssh.SSHServerSession[bytes]):
    """One session of a user in a guest."""

    def __init__(
        self, guest: Guest, user: str, describe_agent: Callable[[], Mapping[str, str]]
    ) -> None:
        super().__init__()
        self._describe_agent = describe_agent
        self._guest = guest
        self._user = user
        self._term: str | None = None
        self._size = (ROWS, COLUMNS)
        self._modes: list[list[int]] = []
        self._method = ""
        self._params: wire.Document = {}
        self._line = ""
        """The command line, if there is one."""
        self._opening: asyncio.Task[None] | None = None

    # --- what the client asks for ---

    def pty_requested(
        self,
        term_type: str | None,
        term_size: tuple[int, int, int, int],
        term_modes: Mapping[int, int],
    ) -> bool:
        """Give the program a terminal."""
        self._term = term_type or "dumb"
        self._modes = [list(item) for item in term_modes.items()]
        self._note_size(term_size[0], term_size[1])
        return True

    def shell_requested(self) -> bool:
        """Run a login shell."""
        return self._plan_exec(["/bin/sh", "-c", f"{HOME} -l"])

    def exec_requested(self, command: str) -> bool:
        """Run a command line by the user's shell."""
        self._line = command
        return self._plan_exec(["/bin/sh", "-c", f'{HOME} -c "$1"', "sh", command])

    def subsystem_requested(self, subsystem: str) -> bool:
        """Serve SFTP; there is no other subsystem."""
        self._method, self._params = "vm.sftp", {"user": self._user}
        return subsystem == "sftp"

    def session_started(self) -> None:
        """Start the program."""
        self._opening = asyncio.create_task(self._open())

    def terminal_size_changed(
        self,
        width: int,
        height: int,
        pixwidth: int,
        pixheight: int,
    ) -> None:
        """Resize the terminal."""
        self._note_size(width, height)
        if self._stream is not None:
            self._stream.control({"resize": self._terminal()})

    def signal_received(self, signal: str) -> None:
        """Send a signal to the program's group."""
        number = parse_signal(signal)
        if number is not None and self._stream is not None:
            self._stream.control({"signal": number})

    def break_received(self, msec: int) -> bool:
        """Refuse: a program has no line that could be broken."""
        return False

    # --- the ends ---

    def connection_lost(self, exc: Exception | None) -> None:
        """Hang up."""
        self._channel = None
        if self._opening is not None:
            self._opening.cancel()
        if self._stream is not None:
            hang_up(self._stream)

    def ended(self, exit_: dict[str, int], error: BangerError | None) -> None:
        """Tell the client how the program ended."""
        if error is not None:
            self._fail(error)
        elif self._channel is not None and "signal" in exit_:
            self._server_channel.exit_with_signal(format_signal(exit_["signal"]))
        elif self._channel is not None:
            self._exit(exit_.get("status", 0))

    # --- private ---

    @property
    def _server_channel(self) -> asyncssh.SSHServerChannel[bytes]:
        assert isinstance(self._channel, asyncssh.SSHServerChannel)
        return self._channel

    def _plan_exec(self, argv: list[str]) -> bool:
        self._method = "vm.exec"
        self._params = {"argv": argv, "user": self._user, "cwd": ROOT, "stdin": True}
        return True

    def _note_size(self, columns: int, rows: int) -> None:
        self._size = (rows if rows in SIZES else ROWS, columns if columns in SIZES else COLUMNS)

    def _terminal(self) -> dict[str, int]:
        return {"rows": self._size[0], "columns": self._size[1]}

    def _environment(self) -> dict[str, str]:
        sent = parse_environment(self._server_channel.get_environment_bytes())
        return {
            **sent,
            **PEER,
            **self._describe_agent(),
            **({"TERM": self._term} if self._term is not None else {}),
        }

    async def _open(self) -> None:
        params = self._params
        if self._method == "vm.exec":
            params = {**params, "env": self._environment()}
            if self._term is not None:
                params["terminal"] = {**self._terminal(), "modes": self._modes}
        size = self._size
        try:
            stream = await self._guest.open(self._method, params)
        except BangerError as error:
            self._fail(error)
            return
        self.attach(stream)
        if size != self._size:
            stream.control({"resize": self._terminal()})

    def _exit(self, status: int) -> None:
        """End the session with a program's status; say what the shell does not of a missing scp."""
        if status == NOT_FOUND and is_older_scp(self._line):
            self._say("`scp -O` needs an scp program in the VM, and there is none.", hint=PLAIN_SCP)
        self._server_channel.exit(status)

    def _fail(self, error: BangerError) -> None:
        """Say what failed, and end the session."""
        if self._channel is None or self._channel.is_closing():
            return
        self._say(error.message, hint=error.hint)
        status = error.exit_code if error.exit_code in NOT_EXECUTED else FAILED
        self._server_channel.exit(status)

    def _say(self, message: str, *, hint: str | None) -> None:
        hints = f"  hint: {hint}\n" if hint else ""
        text = f"banger: {message}\n{hints}".replace("\n", "\r\n" if self._term else "\n")
        raw = text.encode("utf-8", "backslashreplace")
        self._server_channel.write(raw, asyncssh.EXTENDED_DATA_STDERR)


def hang_up(stream: DaemonStream) -> None:
    """Tell a program that its client has gone, and kill it after `HANGUP_S` if it is still there.

    Its output is dropped meanwhile, so that it can end.
    """
    stream.control({"signal": int(signal.SIGHUP)})
    stream.control({"eof": True})
    stream.resume()
    asyncio.get_running_loop().call_later(HANGUP_S, stream.close)


def is_older_scp(line: str) -> bool:
    """Tell whether a command line is what `scp -O` asks an ssh server to run."""
    return line.startswith("scp -") and bool({"-t", "-f"} & set(line.split()))


def parse_signal(untrusted_name: str) -> int | None:
    """Return the number of a signal by its name without SIG, or None (RFC 4254, section 6.9)."""
    found = signal.Signals.__members__.get(f"SIG{untrusted_name}")
    return None if found is None else int(found)


def format_signal(number: int) -> str:
    """Return a signal's name without SIG; `HUP` for one that has none."""
    if number not in signal.valid_signals():
        return "HUP"
    found = signal.Signals.__members__.values()
    return next((each.name.removeprefix("SIG") for each in found if each == number), str(number))


def parse_environment(untrusted: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return the variables that a client sends, but for those that no program could read."""
    pairs = ((_decode(name), _decode(value)) for name, value in untrusted.items())
    return {name: value for name, value in pairs if _VARIABLE.fullmatch(name) and "\0" not in value}


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
