"""`GET /metrics`: figures for Prometheus, in its text format (0.0.4).

Written by hand: a library would keep counters of this process, which has none to tell of.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from banger.model.scopes import Scope
from banger.model.vm import VmState
from banger.web.front import front_of, require_scope

MEDIA_TYPE = "text/plain; version=0.0.4"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})

Labels = Mapping[str, str]
Samples = Iterable[tuple[Labels, float | None]]


async def serve_metrics(request: Request) -> Response:
    """Return what VMs use now, and what the daemon does."""
    await require_scope(request, Scope.READ)
    call = front_of(request).daemon.call
    vms, use, operations, templates, status = await asyncio.gather(
        call("vm.list"),
        call("vm.stats"),
        call("operations.list"),
        call("template.list"),
        call("daemon.status"),
    )
    states = Counter(vm["state"] for vm in vms)
    uses = [({"vm": each["name"], "id": each["id"]}, each) for each in use["vms"]]
    families = [
        _family("vms", "VMs by state.", (({"state": s.value}, states[s.value]) for s in VmState)),
        _family(
            "vm_cpu_percent",
            "CPU use of a VM, in percent of one core.",
            ((labels, each["cpu_percent"]) for labels, each in uses),
        ),
        _family(
            "vm_private_bytes",
            "Memory of this VM only.",
            ((labels, each["private_bytes"]) for labels, each in uses),
        ),
        _family(
            "vm_resident_bytes",
            "Memory of a VM, with what it shares with others.",
            ((labels, each["resident_bytes"]) for labels, each in uses),
        ),
        _family(
            "vm_disk_bytes",
            "Space of the host that a VM's disk takes.",
            ((labels, each["disk_allocated_bytes"]) for labels, each in uses),
        ),
        _family(
            "operations",
            "Operations in progress, by method.",
            (({"method": m}, n) for m, n in Counter(o["method"] for o in operations).items()),
        ),
        _family(
            "pool_clones",
            "Clones that wait, by template.",
            (({"template": t["key"][:12]}, t["waiting"]) for t in templates),
        ),
        _family(
            "daemon_resident_bytes",
            "Memory of the daemon.",
            [({}, status["resident_mib"] * 2**20)],
        ),
        _family("daemon_uptime_seconds", "Age of the daemon.", [({}, status["uptime_s"])]),
    ]
    return PlainTextResponse("".join(families), media_type=MEDIA_TYPE)


def _family(name: str, text: str, samples: Samples) -> str:
    lines = [f"# HELP banger_{name} {text}", f"# TYPE banger_{name} gauge"]
    lines += [
        f"banger_{name}{_format_labels(labels)} {value}"
        for labels, value in samples
        if value is not None
    ]
    return "\n".join(lines) + "\n"


def _format_labels(labels: Labels) -> str:
    pairs = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""
