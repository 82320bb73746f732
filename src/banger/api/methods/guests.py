"""Methods of what goes on in a guest: commands, files, sockets, ports, workspaces."""

from __future__ import annotations

from banger.api.method import Method
from banger.api.ports import (
    NamesView,
    PortAdd,
    PortRemove,
    PublishedPort,
)
from banger.api.requests import (
    NoParams,
    VmAccept,
    VmChecksumFile,
    VmConnect,
    VmCopyIn,
    VmCopyOut,
    VmExec,
    VmListen,
    VmRef,
    VmSftp,
    VmStatFile,
    WorkspaceInspect,
    WorkspacePrepare,
)
from banger.api.results import (
    ExportedBranch,
    FileChecksum,
    GuestFile,
    Listener,
    PreparedWorkspace,
    StartedCopy,
    StartedExec,
    StartedExport,
    StartedListen,
    StartedStream,
    WorkspacePlan,
)
from banger.api.workspaces import (
    AppliedChanges,
    SyncedWorkspace,
    WorkspaceApply,
    WorkspaceDiff,
    WorkspaceExport,
    WorkspaceExportBranch,
    WorkspaceStatus,
    WorkspaceSync,
)

GUESTS = (
    Method(
        name="vm.exec",
        params=VmExec,
        result=StartedExec,
        doc="Run a command in the guest.",
        stream=True,
    ),
    Method(
        name="vm.stat_file",
        params=VmStatFile,
        result=GuestFile,
        doc="Return what is at a path in a guest.",
    ),
    Method(
        name="vm.checksum_file",
        params=VmChecksumFile,
        result=FileChecksum,
        doc="Return a digest of the first bytes of a file in a guest.",
    ),
    Method(
        name="vm.copy_in",
        params=VmCopyIn,
        result=StartedStream,
        doc="Extract a tar stream into a directory of a guest.",
        stream=True,
    ),
    Method(
        name="vm.copy_out",
        params=VmCopyOut,
        result=StartedCopy,
        doc="Read a file or a tree of a guest as a tar stream.",
        stream=True,
    ),
    Method(
        name="vm.sftp",
        params=VmSftp,
        result=StartedStream,
        doc="Open an SFTP session (version 3) in the guest, on channels 0 and 1.",
        stream=True,
    ),
    Method(
        name="vm.connect",
        params=VmConnect,
        result=StartedStream,
        doc="Connect to a TCP port or a Unix socket in the guest, on channels 0 and 1.",
        stream=True,
    ),
    Method(
        name="vm.listen",
        params=VmListen,
        result=StartedListen,
        doc="Listen on a TCP port or a Unix socket in the guest.",
        stream=True,
    ),
    Method(
        name="vm.accept",
        params=VmAccept,
        result=StartedStream,
        doc="Accept a connection announced by `vm.listen`, on channels 0 and 1.",
        stream=True,
    ),
    Method(
        name="vm.ports",
        params=VmRef,
        result=list[Listener],
        doc="List the TCP ports that a guest listens on, and where they appear on the host.",
    ),
    Method(
        name="port.add",
        params=PortAdd,
        result=PublishedPort,
        doc="Publish a port of a guest on the host, for as long as the VM exists.",
    ),
    Method(
        name="port.list",
        params=VmRef,
        result=list[PublishedPort],
        doc="List the ports of a VM that were published.",
    ),
    Method(
        name="port.remove",
        params=PortRemove,
        result=PublishedPort,
        doc="Stop publishing a port; open connections go on.",
    ),
    Method(
        name="names.show",
        params=NoParams,
        result=NamesView,
        doc="Show the host's ports for links, the SOCKS proxy and DNS.",
    ),
    Method(
        name="workspace.inspect",
        params=WorkspaceInspect,
        result=WorkspacePlan,
        doc="Return what `workspace.prepare` would copy; needs no VM.",
    ),
    Method(
        name="workspace.prepare",
        params=WorkspacePrepare,
        result=PreparedWorkspace,
        doc="Copy a git repository into the guest.",
    ),
    Method(
        name="workspace.export",
        params=WorkspaceExport,
        result=StartedExport,
        doc="Export everything that changed since `workspace.prepare` as one patch.",
        stream=True,
    ),
    Method(
        name="workspace.status",
        params=VmRef,
        result=WorkspaceStatus,
        doc="Return what changed in the guest and on the host since `workspace.prepare`.",
    ),
    Method(
        name="workspace.diff",
        params=WorkspaceDiff,
        result=StartedExport,
        doc="Show the changes of the guest as text for people to read.",
        stream=True,
    ),
    Method(
        name="workspace.apply",
        params=WorkspaceApply,
        result=AppliedChanges,
        doc="Write the changes of the guest into the files of the host.",
    ),
    Method(
        name="workspace.sync",
        params=WorkspaceSync,
        result=SyncedWorkspace,
        doc="Copy what the guest and the host changed since they last agreed to the other side.",
    ),
    Method(
        name="workspace.export_branch",
        params=WorkspaceExportBranch,
        result=ExportedBranch,
        doc="Fetch the guest's commits into a branch of the host's repository.",
    ),
)
