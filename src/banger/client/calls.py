"""What each method of the API takes and returns, for type checkers.

Made by `make docs` from `banger.api.table`; do not edit. As long as the API has methods, in one
module because type checkers alone read it: nothing imports it at run time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, Protocol, TypedDict, Unpack, overload

from banger.api import documents as d
from banger.api.wire import Document
from banger.client.stream import ClientStream

Other = Mapping[str, object]
"""Parameters that were put together at run time; the daemon checks them."""


class CallOptions(TypedDict, total=False):
    """What a client may be told while it waits."""

    on_event: Callable[[str, Document], None] | None
    on_tick: Callable[[], None] | None


class Call(Protocol):
    """`Call` of every method, by its name."""

    @overload
    def __call__(
        self,
        method: Literal["daemon.status"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.DaemonStatus: ...
    @overload
    def __call__(
        self,
        method: Literal["daemon.stop"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.DaemonStatus: ...
    @overload
    def __call__(
        self,
        method: Literal["operations.list"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> list[d.OperationView]: ...
    @overload
    def __call__(
        self,
        method: Literal["operations.cancel"],
        params: d.OperationRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.OperationView: ...
    @overload
    def __call__(
        self,
        method: Literal["doctor"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.HostReport: ...
    @overload
    def __call__(
        self, method: Literal["gc"], params: d.Gc | Other = ..., **options: Unpack[CallOptions]
    ) -> list[d.Leftover]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.create"],
        params: d.VmCreate | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.VmView: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.plan"],
        params: d.VmCreate | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.VmPlan: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.list"],
        params: d.VmList | Other = ...,
        **options: Unpack[CallOptions],
    ) -> list[d.VmView]: ...
    @overload
    def __call__(
        self, method: Literal["vm.show"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> d.VmView: ...
    @overload
    def __call__(
        self, method: Literal["vm.wait"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> d.VmView: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.stats"],
        params: d.VmStats | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.VmsUse: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.history"],
        params: d.VmHistory | Other,
        **options: Unpack[CallOptions],
    ) -> list[d.UseSample]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.processes"],
        params: d.VmRef | Other,
        **options: Unpack[CallOptions],
    ) -> list[d.GuestProcess]: ...
    @overload
    def __call__(
        self, method: Literal["vm.start"], params: d.VmStart | Other, **options: Unpack[CallOptions]
    ) -> d.VmView: ...
    @overload
    def __call__(
        self, method: Literal["vm.stop"], params: d.VmStop | Other, **options: Unpack[CallOptions]
    ) -> d.VmView: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.restart"],
        params: d.VmRestart | Other,
        **options: Unpack[CallOptions],
    ) -> d.VmView: ...
    @overload
    def __call__(
        self, method: Literal["vm.kill"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> d.VmView: ...
    @overload
    def __call__(
        self, method: Literal["vm.set"], params: d.VmSet | Other, **options: Unpack[CallOptions]
    ) -> d.VmView: ...
    @overload
    def __call__(
        self,
        method: Literal["egress.change"],
        params: d.EgressChange | Other,
        **options: Unpack[CallOptions],
    ) -> d.Egress: ...
    @overload
    def __call__(
        self, method: Literal["egress.log"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> list[d.DeniedTarget]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.delete"],
        params: d.VmDelete | Other,
        **options: Unpack[CallOptions],
    ) -> d.Deleted: ...
    @overload
    def __call__(
        self, method: Literal["vm.pause"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> d.VmView: ...
    @overload
    def __call__(
        self, method: Literal["vm.resume"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> d.VmView: ...
    @overload
    def __call__(
        self, method: Literal["vm.fork"], params: d.VmFork | Other, **options: Unpack[CallOptions]
    ) -> list[d.VmView]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.commit"],
        params: d.VmCommit | Other,
        **options: Unpack[CallOptions],
    ) -> d.Image: ...
    @overload
    def __call__(
        self,
        method: Literal["snapshot.create"],
        params: d.SnapshotCreate | Other,
        **options: Unpack[CallOptions],
    ) -> d.SnapshotView: ...
    @overload
    def __call__(
        self,
        method: Literal["snapshot.list"],
        params: d.SnapshotList | Other,
        **options: Unpack[CallOptions],
    ) -> list[d.SnapshotView]: ...
    @overload
    def __call__(
        self,
        method: Literal["snapshot.restore"],
        params: d.SnapshotRestore | Other,
        **options: Unpack[CallOptions],
    ) -> d.VmView: ...
    @overload
    def __call__(
        self,
        method: Literal["snapshot.delete"],
        params: d.SnapshotRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.Deleted: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.prune"],
        params: d.VmPrune | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.Deleted: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.stat_file"],
        params: d.VmStatFile | Other,
        **options: Unpack[CallOptions],
    ) -> d.GuestFile: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.list_directory"],
        params: d.VmListDirectory | Other,
        **options: Unpack[CallOptions],
    ) -> list[d.DirectoryEntry]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.checksum_file"],
        params: d.VmChecksumFile | Other,
        **options: Unpack[CallOptions],
    ) -> d.FileChecksum: ...
    @overload
    def __call__(
        self, method: Literal["vm.ports"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> list[d.Listener]: ...
    @overload
    def __call__(
        self, method: Literal["port.add"], params: d.PortAdd | Other, **options: Unpack[CallOptions]
    ) -> d.PublishedPort: ...
    @overload
    def __call__(
        self, method: Literal["port.list"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> list[d.PublishedPort]: ...
    @overload
    def __call__(
        self,
        method: Literal["port.remove"],
        params: d.PortRemove | Other,
        **options: Unpack[CallOptions],
    ) -> d.PublishedPort: ...
    @overload
    def __call__(
        self,
        method: Literal["names.show"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.NamesView: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.inspect"],
        params: d.WorkspaceInspect | Other,
        **options: Unpack[CallOptions],
    ) -> d.WorkspacePlan: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.prepare"],
        params: d.WorkspacePrepare | Other,
        **options: Unpack[CallOptions],
    ) -> d.PreparedWorkspace: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.status"],
        params: d.VmRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.WorkspaceStatus: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.apply"],
        params: d.WorkspaceApply | Other,
        **options: Unpack[CallOptions],
    ) -> d.AppliedChanges: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.sync"],
        params: d.WorkspaceSync | Other,
        **options: Unpack[CallOptions],
    ) -> d.SyncedWorkspace: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.export_branch"],
        params: d.WorkspaceExportBranch | Other,
        **options: Unpack[CallOptions],
    ) -> d.ExportedBranch: ...
    @overload
    def __call__(
        self,
        method: Literal["session.start"],
        params: d.SessionStart | Other,
        **options: Unpack[CallOptions],
    ) -> d.SessionView: ...
    @overload
    def __call__(
        self,
        method: Literal["session.list"],
        params: d.VmRef | Other,
        **options: Unpack[CallOptions],
    ) -> list[d.SessionView]: ...
    @overload
    def __call__(
        self,
        method: Literal["session.show"],
        params: d.SessionRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.SessionView: ...
    @overload
    def __call__(
        self,
        method: Literal["session.signal"],
        params: d.SessionSignal | Other,
        **options: Unpack[CallOptions],
    ) -> d.SessionView: ...
    @overload
    def __call__(
        self,
        method: Literal["session.stop"],
        params: d.SessionStop | Other,
        **options: Unpack[CallOptions],
    ) -> d.SessionView: ...
    @overload
    def __call__(
        self,
        method: Literal["session.wait"],
        params: d.SessionRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.SessionView: ...
    @overload
    def __call__(
        self,
        method: Literal["session.delete"],
        params: d.SessionDelete | Other,
        **options: Unpack[CallOptions],
    ) -> d.Deleted: ...
    @overload
    def __call__(
        self,
        method: Literal["image.list"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> list[d.ImageView]: ...
    @overload
    def __call__(
        self,
        method: Literal["image.show"],
        params: d.ImageRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.ImageView: ...
    @overload
    def __call__(
        self,
        method: Literal["image.catalog"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> list[d.CatalogueView]: ...
    @overload
    def __call__(
        self,
        method: Literal["image.build"],
        params: d.ImageBuild | Other,
        **options: Unpack[CallOptions],
    ) -> d.Image: ...
    @overload
    def __call__(
        self,
        method: Literal["image.import"],
        params: d.ImageImport | Other,
        **options: Unpack[CallOptions],
    ) -> d.Image: ...
    @overload
    def __call__(
        self,
        method: Literal["image.register"],
        params: d.ImageRegister | Other,
        **options: Unpack[CallOptions],
    ) -> d.Image: ...
    @overload
    def __call__(
        self,
        method: Literal["image.promote"],
        params: d.ImageRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.Image: ...
    @overload
    def __call__(
        self,
        method: Literal["image.pull"],
        params: d.ImagePull | Other,
        **options: Unpack[CallOptions],
    ) -> d.Image: ...
    @overload
    def __call__(
        self,
        method: Literal["image.prune"],
        params: d.ImagePrune | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.Pruned: ...
    @overload
    def __call__(
        self,
        method: Literal["image.delete"],
        params: d.ImageRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.Deleted: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.list"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> list[d.KernelView]: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.available"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> list[d.AvailableKernel]: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.show"],
        params: d.KernelRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.KernelView: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.pull"],
        params: d.KernelPull | Other,
        **options: Unpack[CallOptions],
    ) -> d.Kernel: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.fetch"],
        params: d.KernelFetch | Other,
        **options: Unpack[CallOptions],
    ) -> d.Kernel: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.import"],
        params: d.KernelImport | Other,
        **options: Unpack[CallOptions],
    ) -> d.Kernel: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.build"],
        params: d.KernelBuild | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.Kernel: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.delete"],
        params: d.KernelRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.Deleted: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.prune"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.Deleted: ...
    @overload
    def __call__(
        self,
        method: Literal["template.list"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> list[d.TemplateView]: ...
    @overload
    def __call__(
        self,
        method: Literal["template.build"],
        params: d.TemplateBuild | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.TemplateView: ...
    @overload
    def __call__(
        self,
        method: Literal["template.delete"],
        params: d.TemplateRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.Deleted: ...
    @overload
    def __call__(
        self,
        method: Literal["template.prune"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.Deleted: ...
    @overload
    def __call__(
        self,
        method: Literal["token.create"],
        params: d.TokenCreate | Other,
        **options: Unpack[CallOptions],
    ) -> d.CreatedToken: ...
    @overload
    def __call__(
        self,
        method: Literal["token.list"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> list[d.TokenView]: ...
    @overload
    def __call__(
        self,
        method: Literal["token.delete"],
        params: d.TokenRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.Deleted: ...
    @overload
    def __call__(
        self,
        method: Literal["token.check"],
        params: d.TokenCheck | Other,
        **options: Unpack[CallOptions],
    ) -> d.TokenView: ...
    @overload
    def __call__(
        self,
        method: Literal["token.wait"],
        params: d.TokenCheck | Other,
        **options: Unpack[CallOptions],
    ) -> d.TokenView: ...
    @overload
    def __call__(
        self,
        method: Literal["login.offer"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> d.CreatedToken: ...
    @overload
    def __call__(
        self,
        method: Literal["login.begin"],
        params: d.LoginToken | Other,
        **options: Unpack[CallOptions],
    ) -> d.CreatedToken: ...
    @overload
    def __call__(
        self,
        method: Literal["login.end"],
        params: d.LoginToken | Other,
        **options: Unpack[CallOptions],
    ) -> d.Deleted: ...
    @overload
    def __call__(
        self,
        method: Literal["secret.set"],
        params: d.SecretSet | Other,
        **options: Unpack[CallOptions],
    ) -> d.SecretView: ...
    @overload
    def __call__(
        self,
        method: Literal["secret.list"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> list[d.SecretView]: ...
    @overload
    def __call__(
        self,
        method: Literal["secret.delete"],
        params: d.SecretRef | Other,
        **options: Unpack[CallOptions],
    ) -> d.Deleted: ...


class AsyncCall(Protocol):
    """`AsyncCall` of every method, by its name."""

    @overload
    def __call__(
        self,
        method: Literal["daemon.status"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.DaemonStatus]: ...
    @overload
    def __call__(
        self,
        method: Literal["daemon.stop"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.DaemonStatus]: ...
    @overload
    def __call__(
        self,
        method: Literal["operations.list"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.OperationView]]: ...
    @overload
    def __call__(
        self,
        method: Literal["operations.cancel"],
        params: d.OperationRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.OperationView]: ...
    @overload
    def __call__(
        self,
        method: Literal["doctor"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.HostReport]: ...
    @overload
    def __call__(
        self, method: Literal["gc"], params: d.Gc | Other = ..., **options: Unpack[CallOptions]
    ) -> Awaitable[list[d.Leftover]]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.create"],
        params: d.VmCreate | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.VmView]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.plan"],
        params: d.VmCreate | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.VmPlan]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.list"],
        params: d.VmList | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.VmView]]: ...
    @overload
    def __call__(
        self, method: Literal["vm.show"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[d.VmView]: ...
    @overload
    def __call__(
        self, method: Literal["vm.wait"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[d.VmView]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.stats"],
        params: d.VmStats | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.VmsUse]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.history"],
        params: d.VmHistory | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.UseSample]]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.processes"],
        params: d.VmRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.GuestProcess]]: ...
    @overload
    def __call__(
        self, method: Literal["vm.start"], params: d.VmStart | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[d.VmView]: ...
    @overload
    def __call__(
        self, method: Literal["vm.stop"], params: d.VmStop | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[d.VmView]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.restart"],
        params: d.VmRestart | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.VmView]: ...
    @overload
    def __call__(
        self, method: Literal["vm.kill"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[d.VmView]: ...
    @overload
    def __call__(
        self, method: Literal["vm.set"], params: d.VmSet | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[d.VmView]: ...
    @overload
    def __call__(
        self,
        method: Literal["egress.change"],
        params: d.EgressChange | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Egress]: ...
    @overload
    def __call__(
        self, method: Literal["egress.log"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[list[d.DeniedTarget]]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.delete"],
        params: d.VmDelete | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Deleted]: ...
    @overload
    def __call__(
        self, method: Literal["vm.pause"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[d.VmView]: ...
    @overload
    def __call__(
        self, method: Literal["vm.resume"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[d.VmView]: ...
    @overload
    def __call__(
        self, method: Literal["vm.fork"], params: d.VmFork | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[list[d.VmView]]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.commit"],
        params: d.VmCommit | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Image]: ...
    @overload
    def __call__(
        self,
        method: Literal["snapshot.create"],
        params: d.SnapshotCreate | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.SnapshotView]: ...
    @overload
    def __call__(
        self,
        method: Literal["snapshot.list"],
        params: d.SnapshotList | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.SnapshotView]]: ...
    @overload
    def __call__(
        self,
        method: Literal["snapshot.restore"],
        params: d.SnapshotRestore | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.VmView]: ...
    @overload
    def __call__(
        self,
        method: Literal["snapshot.delete"],
        params: d.SnapshotRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Deleted]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.prune"],
        params: d.VmPrune | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Deleted]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.stat_file"],
        params: d.VmStatFile | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.GuestFile]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.list_directory"],
        params: d.VmListDirectory | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.DirectoryEntry]]: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.checksum_file"],
        params: d.VmChecksumFile | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.FileChecksum]: ...
    @overload
    def __call__(
        self, method: Literal["vm.ports"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[list[d.Listener]]: ...
    @overload
    def __call__(
        self, method: Literal["port.add"], params: d.PortAdd | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[d.PublishedPort]: ...
    @overload
    def __call__(
        self, method: Literal["port.list"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> Awaitable[list[d.PublishedPort]]: ...
    @overload
    def __call__(
        self,
        method: Literal["port.remove"],
        params: d.PortRemove | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.PublishedPort]: ...
    @overload
    def __call__(
        self,
        method: Literal["names.show"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.NamesView]: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.inspect"],
        params: d.WorkspaceInspect | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.WorkspacePlan]: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.prepare"],
        params: d.WorkspacePrepare | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.PreparedWorkspace]: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.status"],
        params: d.VmRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.WorkspaceStatus]: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.apply"],
        params: d.WorkspaceApply | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.AppliedChanges]: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.sync"],
        params: d.WorkspaceSync | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.SyncedWorkspace]: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.export_branch"],
        params: d.WorkspaceExportBranch | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.ExportedBranch]: ...
    @overload
    def __call__(
        self,
        method: Literal["session.start"],
        params: d.SessionStart | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.SessionView]: ...
    @overload
    def __call__(
        self,
        method: Literal["session.list"],
        params: d.VmRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.SessionView]]: ...
    @overload
    def __call__(
        self,
        method: Literal["session.show"],
        params: d.SessionRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.SessionView]: ...
    @overload
    def __call__(
        self,
        method: Literal["session.signal"],
        params: d.SessionSignal | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.SessionView]: ...
    @overload
    def __call__(
        self,
        method: Literal["session.stop"],
        params: d.SessionStop | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.SessionView]: ...
    @overload
    def __call__(
        self,
        method: Literal["session.wait"],
        params: d.SessionRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.SessionView]: ...
    @overload
    def __call__(
        self,
        method: Literal["session.delete"],
        params: d.SessionDelete | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Deleted]: ...
    @overload
    def __call__(
        self,
        method: Literal["image.list"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.ImageView]]: ...
    @overload
    def __call__(
        self,
        method: Literal["image.show"],
        params: d.ImageRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.ImageView]: ...
    @overload
    def __call__(
        self,
        method: Literal["image.catalog"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.CatalogueView]]: ...
    @overload
    def __call__(
        self,
        method: Literal["image.build"],
        params: d.ImageBuild | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Image]: ...
    @overload
    def __call__(
        self,
        method: Literal["image.import"],
        params: d.ImageImport | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Image]: ...
    @overload
    def __call__(
        self,
        method: Literal["image.register"],
        params: d.ImageRegister | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Image]: ...
    @overload
    def __call__(
        self,
        method: Literal["image.promote"],
        params: d.ImageRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Image]: ...
    @overload
    def __call__(
        self,
        method: Literal["image.pull"],
        params: d.ImagePull | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Image]: ...
    @overload
    def __call__(
        self,
        method: Literal["image.prune"],
        params: d.ImagePrune | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Pruned]: ...
    @overload
    def __call__(
        self,
        method: Literal["image.delete"],
        params: d.ImageRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Deleted]: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.list"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.KernelView]]: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.available"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.AvailableKernel]]: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.show"],
        params: d.KernelRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.KernelView]: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.pull"],
        params: d.KernelPull | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Kernel]: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.fetch"],
        params: d.KernelFetch | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Kernel]: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.import"],
        params: d.KernelImport | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Kernel]: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.build"],
        params: d.KernelBuild | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Kernel]: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.delete"],
        params: d.KernelRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Deleted]: ...
    @overload
    def __call__(
        self,
        method: Literal["kernel.prune"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Deleted]: ...
    @overload
    def __call__(
        self,
        method: Literal["template.list"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.TemplateView]]: ...
    @overload
    def __call__(
        self,
        method: Literal["template.build"],
        params: d.TemplateBuild | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.TemplateView]: ...
    @overload
    def __call__(
        self,
        method: Literal["template.delete"],
        params: d.TemplateRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Deleted]: ...
    @overload
    def __call__(
        self,
        method: Literal["template.prune"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Deleted]: ...
    @overload
    def __call__(
        self,
        method: Literal["token.create"],
        params: d.TokenCreate | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.CreatedToken]: ...
    @overload
    def __call__(
        self,
        method: Literal["token.list"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.TokenView]]: ...
    @overload
    def __call__(
        self,
        method: Literal["token.delete"],
        params: d.TokenRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Deleted]: ...
    @overload
    def __call__(
        self,
        method: Literal["token.check"],
        params: d.TokenCheck | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.TokenView]: ...
    @overload
    def __call__(
        self,
        method: Literal["token.wait"],
        params: d.TokenCheck | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.TokenView]: ...
    @overload
    def __call__(
        self,
        method: Literal["login.offer"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.CreatedToken]: ...
    @overload
    def __call__(
        self,
        method: Literal["login.begin"],
        params: d.LoginToken | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.CreatedToken]: ...
    @overload
    def __call__(
        self,
        method: Literal["login.end"],
        params: d.LoginToken | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Deleted]: ...
    @overload
    def __call__(
        self,
        method: Literal["secret.set"],
        params: d.SecretSet | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.SecretView]: ...
    @overload
    def __call__(
        self,
        method: Literal["secret.list"],
        params: d.NoParams | Other = ...,
        **options: Unpack[CallOptions],
    ) -> Awaitable[list[d.SecretView]]: ...
    @overload
    def __call__(
        self,
        method: Literal["secret.delete"],
        params: d.SecretRef | Other,
        **options: Unpack[CallOptions],
    ) -> Awaitable[d.Deleted]: ...


class OpenStream(Protocol):
    """`OpenStream` of every method, by its name."""

    @overload
    def __call__(
        self, method: Literal["vm.logs"], params: d.VmLogs | Other, **options: Unpack[CallOptions]
    ) -> ClientStream: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.watch"],
        params: d.VmWatch | Other = ...,
        **options: Unpack[CallOptions],
    ) -> ClientStream: ...
    @overload
    def __call__(
        self, method: Literal["vm.console"], params: d.VmRef | Other, **options: Unpack[CallOptions]
    ) -> ClientStream: ...
    @overload
    def __call__(
        self, method: Literal["vm.exec"], params: d.VmExec | Other, **options: Unpack[CallOptions]
    ) -> ClientStream: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.watch_files"],
        params: d.VmWatchFiles | Other,
        **options: Unpack[CallOptions],
    ) -> ClientStream: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.copy_in"],
        params: d.VmCopyIn | Other,
        **options: Unpack[CallOptions],
    ) -> ClientStream: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.copy_out"],
        params: d.VmCopyOut | Other,
        **options: Unpack[CallOptions],
    ) -> ClientStream: ...
    @overload
    def __call__(
        self, method: Literal["vm.sftp"], params: d.VmSftp | Other, **options: Unpack[CallOptions]
    ) -> ClientStream: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.connect"],
        params: d.VmConnect | Other,
        **options: Unpack[CallOptions],
    ) -> ClientStream: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.listen"],
        params: d.VmListen | Other,
        **options: Unpack[CallOptions],
    ) -> ClientStream: ...
    @overload
    def __call__(
        self,
        method: Literal["vm.accept"],
        params: d.VmAccept | Other,
        **options: Unpack[CallOptions],
    ) -> ClientStream: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.export"],
        params: d.WorkspaceExport | Other,
        **options: Unpack[CallOptions],
    ) -> ClientStream: ...
    @overload
    def __call__(
        self,
        method: Literal["workspace.diff"],
        params: d.WorkspaceDiff | Other,
        **options: Unpack[CallOptions],
    ) -> ClientStream: ...
    @overload
    def __call__(
        self,
        method: Literal["session.attach"],
        params: d.SessionAttach | Other,
        **options: Unpack[CallOptions],
    ) -> ClientStream: ...
    @overload
    def __call__(
        self,
        method: Literal["session.send"],
        params: d.SessionSend | Other,
        **options: Unpack[CallOptions],
    ) -> ClientStream: ...
