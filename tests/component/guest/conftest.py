"""The agent that the tests of this directory talk to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.agent import build_agent_of_version_1, find_or_build_agent


@pytest.fixture(scope="session")
def agent_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find_or_build_agent(tmp_path_factory.mktemp("agent"))


@pytest.fixture(scope="session")
def agent_of_version_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_agent_of_version_1(tmp_path_factory.mktemp("agent-of-version-1"))
