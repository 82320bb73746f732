"""A guest that is a process of this host: the real agent, and real sockets on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.agent import find_or_build_agent


@pytest.fixture(scope="session")
def agent_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find_or_build_agent(tmp_path_factory.mktemp("agent"))
