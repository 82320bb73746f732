"""Figures for Prometheus, of a real daemon with real rows."""

from __future__ import annotations

import re

from tests.component.web.conftest import make_token
from tests.component.web.fronts import Environ, Front

LINE = re.compile(r'(banger_[a-z_]+)(?:\{((?:[a-z]+="[^"\n]*",?)+)\})? (-?[0-9.e+-]+)')


def test_metrics_tell_of_vms_and_of_the_daemon(real: Front, real_environ: Environ) -> None:
    own = real.with_token(make_token(real_environ, "prometheus", "read"))
    answer = own.request("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in samples), samples
    assert 'banger_vms{state="stopped"} 2' in samples
    assert 'banger_vms{state="running"} 0' in samples
    assert any(line.startswith("banger_daemon_resident_bytes ") for line in samples)
    told = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {LINE.fullmatch(line)[1] for line in samples} <= told  # type: ignore[index]


def test_metrics_need_a_token(real: Front) -> None:
    assert real.request("GET", "/metrics", headers={"Authorization": None}).status == 401
