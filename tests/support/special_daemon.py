"""A real daemon that behaves in one special way: `python -m tests.support.special_daemon`.

    --agent DIR     give guests the agent that is there, below the architecture's name
    --attend FILE   have an attendant more, which says in the file when it begins and ends
    --available MIB the host's memory has so much left, whatever it has
    --ask-every S   ask the guests whether they live so often, and count one that does not answer
                    within as long as silent
    --deaths DIR    kill -9 itself, or a VMM, at a point of the journal, or of a workspace's way,
                    that is named there (`deaths.py`, `calldeaths.py`)
    --faults DIR    let the k-th call of a request to the host fail (`faults.py`), and try to save
                    outcomes again at once
    --walks FILE    write down by which functions each process is started and each guest is reached

The product knows nothing of this.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from banger.daemon.__main__ import main
from banger.daemon.app import open_handlers
from banger.engine.transitions import capacity
from banger.engine.upkeep import deferred_saves, health
from banger.engine.verbs import kernels
from tests.support.attending import attend_openly
from tests.support.calldeaths import die_at_calls
from tests.support.deaths import die_at_points
from tests.support.faults import arm_requests
from tests.support.walks import record_walks


def run() -> int:
    """Run the daemon in the foreground."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", type=Path)
    parser.add_argument("--attend", type=Path)
    parser.add_argument("--available", type=int)
    parser.add_argument("--ask-every", type=float)
    parser.add_argument("--deaths", type=Path)
    parser.add_argument("--faults", type=Path)
    parser.add_argument("--walks", type=Path)
    arguments = parser.parse_args()
    if arguments.agent:
        kernels.AGENT_FOLDER = arguments.agent
    if arguments.attend:
        attend_openly(arguments.attend)
    if arguments.available:
        _limit_memory(arguments.available)
    if arguments.ask_every:
        health.ASK_EVERY_S = health.ANSWER_S = arguments.ask_every
    if arguments.deaths:
        die_at_points(arguments.deaths)
        die_at_calls(arguments.deaths)
    if arguments.faults:
        arm_requests(arguments.faults)
        deferred_saves.RETRY_S = 0.2
    if arguments.walks:
        record_walks(arguments.walks)
    return main(open_handlers)


def _limit_memory(available_mib: int) -> None:
    require_room = capacity.require_room

    def require_little_room(each_mib: int, **numbers: int) -> None:
        require_room(each_mib, **{**numbers, "available_mib": available_mib})

    capacity.require_room = require_little_room


if __name__ == "__main__":
    sys.exit(run())
