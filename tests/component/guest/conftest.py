"""An agent of an earlier version, which tests of this directory talk to as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.agent import build_agent_of_version_1


@pytest.fixture(scope="session")
def agent_of_version_1() -> Path:
    return build_agent_of_version_1()
