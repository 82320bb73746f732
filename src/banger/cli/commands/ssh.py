"""`vm ssh`: the host's own ssh client, connected to a VM."""

from __future__ import annotations

import sys
from argparse import Namespace

from banger.api.ssh import SUFFIX, parse_host
from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.options.ssh import (
    join_command,
    plan_options,
    render_arguments,
    skip_options,
    split_words,
)

_TEXT = """\
Options before or after the VM are ssh's own, such as -A, -N or
-L 8080:localhost:80. Without a command, opens a login shell. A command of one
word is run by the guest's shell as a command line; of several words, each is
passed on as one argument. The user is root unless -l USER is given. The VM
needs no ssh server. The exit status is that of the command, 255 if ssh itself
fails, and 125 if the VM does not exist or is not running.

After `banger ssh-config --install`, ssh, scp, rsync, git and editors reach VMs
as NAME.vm."""


def _configure(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    parser.text = _TEXT
    parser.skip_foreign = skip_options


def _ssh(arguments: Namespace, context: Context) -> int:
    from banger.client.sshproxy import find_program, reach_front
    from banger.host.programs import replace_process

    ref = parse_host(arguments.ref)
    options, command = split_words(arguments.command or [])
    layout = context.layout
    ours = plan_options(
        python=sys.executable, program=find_program(), known_hosts=layout.ssh_known_hosts_name
    )
    # Of an option that is given twice, ssh takes the first.
    argv = ["ssh", *options, *render_arguments(ours), "--", ref + SUFFIX, *join_command(command)]
    # ssh would add that it got no connection to why there is none.
    reach_front(layout, ref).close()
    context.flush()
    replace_process(argv)


COMMANDS = {"vm ssh": (_configure, _ssh)}
