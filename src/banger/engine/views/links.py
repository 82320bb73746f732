"""Links to the servers in guests, and the ports for names. Changes nothing (B8)."""

from __future__ import annotations

from banger.api.method import serves
from banger.api.ports import NamesView
from banger.engine.state.engine import Engine
from banger.model.vm import VmRecord
from banger.names import choose_web_port, format_link, format_web_link, is_web_port


def find_web_link(engine: Engine, record: VmRecord) -> str | None:
    """Return the link to a VM's web port; None without one, and where there are no links."""
    front_port = engine.names.http.port if engine.names else None
    ports = engine.runtime(record.id).ports
    web_port = choose_web_port(ports.guest_ports) if ports else None
    if front_port is None or web_port is None:
        return None
    return format_web_link(record.spec.name, record.id, web_port, front_port=front_port)


def find_link(engine: Engine, record: VmRecord, guest_port: int) -> str | None:
    """Return the link to a port of a VM, if it may be a web server's."""
    front_port = engine.names.http.port if engine.names else None
    if front_port is None or not is_web_port(guest_port):
        return None
    return format_link(record.spec.name, record.id, guest_port, front_port=front_port)


def explain_missing_links(engine: Engine) -> str | None:
    """Return why there are no links, in a sentence; None if there are, or none are wanted."""
    return engine.names.http.problem if engine.names else None


@serves("names.show")
async def show_names(engine: Engine) -> NamesView:
    """Return where names lead to VMs on this host."""
    names = engine.names
    if names is None:
        return NamesView()
    return NamesView(
        http_port=names.http.port,
        socks_port=names.socks.port,
        dns_port=names.dns.port,
        notices=names.problems,
    )
