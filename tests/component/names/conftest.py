"""Guests that are processes of this host: the real agent, real servers, real clients."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def is_leaving_no_descriptor() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()  # a selector of a server of websockets is part of a cycle
    assert len(os.listdir("/proc/self/fd")) <= before
