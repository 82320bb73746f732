"""The host side of the guest protocol (docs/guest-protocol.md, versions 1 and 2).

`connect` returns a GuestConnection, which every other function takes. Data
from the guest is checked where it enters and bounded everywhere.
"""

from banger.guest.admission import Lane
from banger.guest.boot import (
    BootSpec,
    GuestFile,
    Identity,
    Interface,
    boot,
    identify,
    takes_ipv6,
)
from banger.guest.changes import ChangeKind, GuestChange, watch_changes
from banger.guest.codec import AgentState, Hello
from banger.guest.connection import (
    GuestConnection,
    connect,
)
from banger.guest.deadlines import deadline
from banger.guest.exec import (
    EXEC_REFUSALS,
    MODE_NUMBERS,
    STDERR,
    STDOUT,
    Completed,
    ExecSpec,
    ExitStatus,
    GuestProcess,
    run,
    start_exec,
)
from banger.guest.files import ConnectedGuest, GuestFiles, GuestOutput, RunningOutput
from banger.guest.incoming import GuestListener, Incoming, listen_tcp, listen_unix
from banger.guest.listing import list_directories, read_files
from banger.guest.ports import GuestTcp, Listeners, connect_tcp, connect_unix, watch_listeners
from banger.guest.power import ping, poweroff, sync
from banger.guest.processes import ListedProcess, list_processes
from banger.guest.sessions import (
    AttachSpec,
    Gap,
    GuestSession,
    Output,
    SessionAttachment,
    SessionInput,
    attach_session,
    delete_session,
    get_session,
    has_sessions,
    list_sessions,
    open_session_input,
    signal_session,
    start_session,
    wait_session,
)
from banger.guest.sftp import GuestSftp, open_sftp
from banger.guest.transfer import (
    GuestStat,
    Transferred,
    checksum,
    root_out,
    stat,
    tar_in,
    tar_out,
)
from banger.guest.udp import GuestUdp, open_udp

__all__ = [
    "EXEC_REFUSALS",
    "MODE_NUMBERS",
    "STDERR",
    "STDOUT",
    "AgentState",
    "AttachSpec",
    "BootSpec",
    "ChangeKind",
    "Completed",
    "ConnectedGuest",
    "ExecSpec",
    "ExitStatus",
    "Gap",
    "GuestChange",
    "GuestConnection",
    "GuestFile",
    "GuestFiles",
    "GuestListener",
    "GuestOutput",
    "GuestProcess",
    "GuestSession",
    "GuestSftp",
    "GuestStat",
    "GuestTcp",
    "GuestUdp",
    "Hello",
    "Identity",
    "Incoming",
    "Interface",
    "Lane",
    "ListedProcess",
    "Listeners",
    "Output",
    "RunningOutput",
    "SessionAttachment",
    "SessionInput",
    "Transferred",
    "attach_session",
    "boot",
    "checksum",
    "connect",
    "connect_tcp",
    "connect_unix",
    "deadline",
    "delete_session",
    "get_session",
    "has_sessions",
    "identify",
    "list_directories",
    "list_processes",
    "list_sessions",
    "listen_tcp",
    "listen_unix",
    "open_session_input",
    "open_sftp",
    "open_udp",
    "ping",
    "poweroff",
    "read_files",
    "root_out",
    "run",
    "signal_session",
    "start_exec",
    "start_session",
    "stat",
    "sync",
    "takes_ipv6",
    "tar_in",
    "tar_out",
    "wait_session",
    "watch_changes",
    "watch_listeners",
]
