"""Methods of the secrets that requests of VMs carry."""

from __future__ import annotations

from banger.api.method import Method
from banger.api.requests import NoParams
from banger.api.results import Deleted
from banger.api.secrets import SecretRef, SecretSet, SecretView
from banger.model.scopes import Scope

SECRETS = (
    Method(
        name="secret.set",
        params=SecretSet,
        result=SecretView,
        doc="Save a secret; running VMs use its new value, hosts and headers from their next "
        "request on.",
        detached=True,
    ),
    Method(
        name="secret.list",
        params=NoParams,
        result=list[SecretView],
        doc="List the secrets by name, without their values.",
        scope=Scope.READ,
    ),
    Method(
        name="secret.delete",
        params=SecretRef,
        result=Deleted,
        doc="Delete a secret; placeholders in VMs are no longer replaced, and its hosts are "
        "allowed only if rules of the VM allow them.",
        detached=True,
    ),
)
