"""How an ssh client reaches VMs: the options of its configuration. Pure.

The client's own host names end in `.vm`; the connection is made by `client.sshproxy`.
"""

from __future__ import annotations

import shlex

from banger.api.ssh import ALIAS, SUFFIX

Options = tuple[tuple[str, str], ...]


FAST_CIPHER = "aes128-gcm@openssh.com"
"""A quarter faster than what OpenSSH would choose of those that the front knows (aes128-ctr)."""


def plan_options(*, python: str, program: str | None, known_hosts: str) -> Options:
    """Return the options. `python`: the interpreter that has banger; `program`: its proxy in C.

    The user is root unless the client names another; no key is offered, since none is asked for.
    """
    proxy = _proxy_words(python, "-P", "-m", "banger.client.sshproxy")
    if program is not None:
        proxy = f"{_proxy_words(program)} {proxy}"
    return (
        ("ProxyCommand", proxy),
        ("ProxyUseFdpass", "yes"),
        ("User", "root"),
        ("HostKeyAlias", ALIAS),
        ("UserKnownHostsFile", quote(known_hosts)),
        ("GlobalKnownHostsFile", "none"),
        ("StrictHostKeyChecking", "yes"),
        ("Ciphers", f"^{FAST_CIPHER}"),
        ("UpdateHostKeys", "no"),
        ("CheckHostIP", "no"),
    )


def _proxy_words(*words: str) -> str:
    """Return words of a proxy's command, with the host behind them.

    The shell reads the command after ssh has replaced %h, so the % of the words are doubled.
    """
    return f"{shlex.join(words).replace('%', '%%')} %h"


def render_config(options: Options) -> str:
    """Return the configuration file."""
    lines = (f"    {name} {value}\n" for name, value in options)
    return f"Host *{SUFFIX}\n{''.join(lines)}"


def render_arguments(options: Options) -> list[str]:
    """Return the options as words of ssh's command line."""
    return [word for name, value in options for word in ("-o", f"{name}={value}")]


def quote(path: str) -> str:
    """Return a path as one word of a configuration file, where % begins a token."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


VALUED = frozenset("BbcDEeFIiJLlmOoPpQRSWw")
"""Letters of ssh's options that take a value (ssh(1), OpenSSH 9)."""


def split_words(words: list[str]) -> tuple[list[str], list[str]]:
    """Split all words but the VM into ssh's own options and the command."""
    position = skip_options(words)
    if words[position : position + 1] == ["--"]:
        return words[:position], words[position + 1 :]
    return words[:position], words[position:]


def skip_options(words: list[str]) -> int:
    """Return how many words at the start are ssh's options and their values."""
    position = 0
    while position < len(words) and words[position].startswith("-"):
        if words[position] in ("-", "--"):
            break
        position += 1 + _has_value_next(words[position])
    return position


def _has_value_next(option: str) -> bool:
    """Tell whether an option's value is the next word: for `-p`, `-vp`, not for `-p22`."""
    for place, letter in enumerate(option[1:], start=2):
        if letter in VALUED:
            return place == len(option)
    return False


def join_command(words: list[str]) -> list[str]:
    """Return the command as one line for the guest's shell.

    One word is a line already, as for ssh; of several each is one word in the guest too (H1).
    """
    return [shlex.join(words)] if len(words) > 1 else words
