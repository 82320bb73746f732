"""`vm.ports`, `port.*`, `names.*`: what listens in guests, and what leads there on the host."""

from __future__ import annotations

from banger import engine as verbs
from banger.api.ports import NamesView, PortAdd, PortRemove, PublishedPort
from banger.api.requests import NoParams, VmRef
from banger.api.results import Listener
from banger.daemon.calls import Call, Handlers
from banger.engine import Engine


def port_handlers(engine: Engine) -> Handlers:
    """Return the handlers of these methods."""

    async def listeners(_: Call, params: VmRef) -> list[Listener]:
        return await verbs.list_listeners(engine, params.ref)

    async def add(_: Call, params: PortAdd) -> PublishedPort:
        return await verbs.add_port(engine, params)

    async def list_(_: Call, params: VmRef) -> list[PublishedPort]:
        return await verbs.list_ports(engine, params)

    async def remove(_: Call, params: PortRemove) -> PublishedPort:
        return await verbs.remove_port(engine, params)

    async def names(_: Call, __: NoParams) -> NamesView:
        return verbs.show_names(engine)

    return {
        "vm.ports": listeners,
        "names.show": names,
        "port.add": add,
        "port.list": list_,
        "port.remove": remove,
    }
