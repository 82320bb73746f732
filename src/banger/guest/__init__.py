"""The host side of the guest protocol (docs/guest-protocol.md, versions 1 and 2).

`connect` returns a GuestConnection, which every other function takes. Data
from the guest is checked where it enters and bounded everywhere.
"""

from banger.guest.admission import Lane
from banger.guest.boot import BootSpec, GuestFile, Identity, Interface, boot, identify
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
    "BootSpec",
    "Completed",
    "ConnectedGuest",
    "ExecSpec",
    "ExitStatus",
    "GuestConnection",
    "GuestFile",
    "GuestFiles",
    "GuestListener",
    "GuestOutput",
    "GuestProcess",
    "GuestSftp",
    "GuestStat",
    "GuestTcp",
    "GuestUdp",
    "Hello",
    "Identity",
    "Incoming",
    "Interface",
    "Lane",
    "Listeners",
    "RunningOutput",
    "Transferred",
    "boot",
    "checksum",
    "connect",
    "connect_tcp",
    "connect_unix",
    "deadline",
    "identify",
    "list_directories",
    "listen_tcp",
    "listen_unix",
    "open_sftp",
    "open_udp",
    "ping",
    "poweroff",
    "read_files",
    "root_out",
    "run",
    "start_exec",
    "stat",
    "sync",
    "tar_in",
    "tar_out",
    "watch_listeners",
]
