"""Values of options: sizes, durations, pairs. Each function is an argparse `type`. Pure."""

from __future__ import annotations

import os
import re
from argparse import ArgumentTypeError

from banger.durations import parse_duration
from banger.sizes import parse_size_mib
from banger.words import driver_words, network_words

FORKS_MAX = 64
RESTART_POLICIES = ("no", "on-failure", "always")
VM_STATES = ("created", "starting", "running", "paused", "stopping", "stopped", "error")


def size_mib(untrusted_text: str) -> int:
    """Return MiB for `2048`, `512M`, `8G`, `8GB`, `8GiB`: all units are powers of 1024."""
    size = parse_size_mib(untrusted_text)
    if size is None:
        raise ArgumentTypeError(f"{untrusted_text!r} is not a size such as 512M or 8G")
    return size


def count(untrusted_text: str) -> int:
    """Return a whole number of at least 1."""
    if re.fullmatch(r"[0-9]{1,6}", untrusted_text) and int(untrusted_text) > 0:
        return int(untrusted_text)
    raise ArgumentTypeError(f"{untrusted_text!r} is not a number of at least 1")


def line_count(untrusted_text: str) -> int:
    """Return a number of lines, which may be 0."""
    if re.fullmatch(r"[0-9]{1,9}", untrusted_text):
        return int(untrusted_text)
    raise ArgumentTypeError(f"{untrusted_text!r} is not a number of lines")


def forks(untrusted_text: str) -> int:
    """Return a number of forks: 1 to 64."""
    if re.fullmatch(r"[0-9]{1,2}", untrusted_text) and 1 <= int(untrusted_text) <= FORKS_MAX:
        return int(untrusted_text)
    raise ArgumentTypeError(f"{untrusted_text!r} is not a number from 1 to {FORKS_MAX}")


def duration_s(untrusted_text: str) -> float:
    """Return seconds for `90`, `1.5s`, `10m`, `2h`."""
    seconds = parse_duration(untrusted_text)
    if seconds is None:
        raise ArgumentTypeError(f"{untrusted_text!r} is not a duration such as 90s or 10m")
    return seconds


def past_time_s(untrusted_text: str) -> float:
    """Return the Unix time of `10m` (ago), `2026-11-29T12:00` (local, or with a zone)."""
    # Imported here, since every command loads this module.
    import time
    from datetime import datetime

    ago_s = parse_duration(untrusted_text)
    if ago_s is not None:
        return max(time.time() - ago_s, 0.0)
    try:
        return max(datetime.fromisoformat(untrusted_text).timestamp(), 0.0)
    except (ValueError, OverflowError, OSError) as error:
        raise ArgumentTypeError(
            f"{untrusted_text!r} is neither a duration such as 10m nor a time such as"
            " 2026-11-29T12:00"
        ) from error


def label(untrusted_text: str) -> tuple[str, str]:
    """Return the key and value of `K=V`; `K` alone has an empty value."""
    key, _, value = untrusted_text.partition("=")
    if not key:
        raise ArgumentTypeError(f"{untrusted_text!r} is not KEY=VALUE")
    return key, value


def variable(untrusted_text: str) -> tuple[str, str]:
    """Return the name and value of `K=V`; `K` alone takes its value from our environment."""
    name, equals, value = untrusted_text.partition("=")
    if not name or (not equals and name not in os.environ):
        # The text may hold a secret that was meant as a value: print only the name.
        raise ArgumentTypeError(f"{name!r} is neither NAME=VALUE nor a variable that is set here")
    return name, value if equals else os.environ[name]


PORT = (
    r"(?:(?:(?P<address>\[[0-9A-Fa-f:.%]+\]|[0-9]+(?:\.[0-9]+){3}|localhost):)?"
    r"(?:(?P<host>[0-9]{0,5}):)?|(?P<host_path>\.{0,2}/[^:]+):)"
    r"(?:(?P<guest>[0-9]{1,5})(?:/(?P<protocol>[a-z]+))?|(?P<guest_path>/[^:]+))"
)
"""Compiled when it is first needed, since every command loads this module."""


def published_port(untrusted_text: str) -> dict[str, object]:
    """Return the parameters for `[ADDRESS:][HOST:]GUEST[/udp]`, as docker's -p has it.

    HOST and GUEST may be paths of Unix sockets as well, HOST relative to this directory.
    """
    found = re.fullmatch(PORT, untrusted_text)
    if found is None:
        raise ArgumentTypeError(f"{untrusted_text!r} is not [ADDRESS:][HOST:]GUEST such as 8080:80")
    _require_possible(found)
    port: dict[str, object] = {}
    for key, name in (("guest_port", "guest"), ("host_port", "host")):
        if found[name]:
            port[key] = int(found[name])
    if found["guest_path"]:
        port["guest_path"] = found["guest_path"]
    if found["host_path"]:
        port["host_path"] = os.path.abspath(found["host_path"])
    if found["protocol"] == "udp":
        port["protocol"] = "udp"
    if found["address"]:
        address = found["address"].strip("[]")
        port["host_address"] = "127.0.0.1" if address == "localhost" else address
    return port


def _require_possible(port: re.Match[str]) -> None:
    if port["protocol"] not in (None, "tcp", "udp"):
        raise ArgumentTypeError(f"{port[0]!r}: the protocol of a port is tcp or udp")
    if port["protocol"] == "udp" and port["host_path"]:
        raise ArgumentTypeError(f"{port[0]!r}: a Unix socket cannot be published over UDP")
    if port["guest_path"] and not (port["host"] or port["host_path"]):
        path = port["guest_path"]
        raise ArgumentTypeError(
            f"{path!r} is a socket in the guest and needs a port or path on the host: 8080:{path} "
            f"or ./NAME:{path}"
        )


def published_name(untrusted_text: str) -> str:
    """Return what was published, as it was written; the path of a socket is made absolute."""
    if untrusted_text.startswith(("./", "../")):
        path, colon, guest = untrusted_text.partition(":")
        return f"{os.path.abspath(path)}{colon}{guest}"
    return untrusted_text


def driver(untrusted_text: str) -> str:
    """Return the word of a driver."""
    return _one_of(untrusted_text, "driver", driver_words())


def network(untrusted_text: str) -> str:
    """Return the word of a kind of network."""
    return _one_of(untrusted_text, "network", network_words())


def restart_policy(untrusted_text: str) -> str:
    """Return the name of a restart policy."""
    return _one_of(untrusted_text, "restart policy", RESTART_POLICIES)


def _one_of(text: str, what: str, known: tuple[str, ...]) -> str:
    if text in known:
        return text
    raise ArgumentTypeError(f"{text!r} is not a {what}: {', '.join(known)}")
