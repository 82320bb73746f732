"""What tests of the host's side share: an installation, and the agent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent import find_or_build_agent
from tests.support.installations import Installation


@pytest.fixture
def banger(private_environ: dict[str, str]) -> Iterator[Installation]:
    """An installation of this test's own."""
    with contextlib.closing(Installation(private_environ)) as installation:
        yield installation


@pytest.fixture(scope="session")
def agent_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find_or_build_agent(tmp_path_factory.mktemp("agent"))
