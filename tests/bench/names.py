"""Links against the address of a VM: what the front costs for each request and each byte."""

from __future__ import annotations

import http.client
import time
from contextlib import closing
from urllib.parse import urlsplit

from tests.bench.result import Result
from tests.bench.stage import BANGER, Stage

REQUESTS = 40
DOWNLOADS = 5
PATIENCE_S = 60.0
SERVE = """
cd /root
head -c 16000000 /dev/urandom > noise
echo hi > small
exec python3 -m http.server
"""


def measure_links(stage: Stage) -> Result:
    """Requests and downloads by link and by address, in turns."""
    samples: dict[str, list[float]] = {}
    with stage.vm() as name:
        stage.banger("vm", "exec", "-d", name, "--", "sh", "-c", SERVE)
        view = _await_link(stage, name)
        places = {"address": f"{view['address']}:8000", "link": urlsplit(view["link"]).netloc}
        for path, count, unit in (("/small", REQUESTS, "request"), ("/noise", DOWNLOADS, "16 MB")):
            for _ in range(count + 1):
                for way, place in places.items():
                    samples.setdefault(f"{unit} by {way}", []).append(_fetch(place, path) * 1000)
    samples = {label: values[1:] for label, values in samples.items()}
    result = Result("links", "ms", samples, "a request by link at most 1.5x one by address")
    for unit in ("request", "16 MB"):
        ratio = result.median(f"{unit} by link") / result.median(f"{unit} by address")
        result.figures[f"link / address, {unit}"] = ratio
    result.figures["daemon MiB"] = stage.json("daemon", "status")["resident_mib"]
    return result


def _await_link(stage: Stage, name: str) -> dict[str, str]:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        view: dict[str, str] = stage.json("vm", "show", name)
        if view["link"]:
            return view
        time.sleep(0.2)
    raise RuntimeError(f"no link: {stage.run(BANGER, 'vm', 'ports', name).decode()}")


def _fetch(place: str, path: str) -> float:
    """Return the seconds of one request over a connection of its own."""
    host = place if place.startswith("127.") else f"127.0.0.1:{place.rpartition(':')[2]}"
    started = time.perf_counter()
    with closing(http.client.HTTPConnection(host, timeout=PATIENCE_S)) as client:
        client.request("GET", path, headers={"Host": place})
        answer = client.getresponse()
        answer.read()
    assert answer.status == 200
    return time.perf_counter() - started
