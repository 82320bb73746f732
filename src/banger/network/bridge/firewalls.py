"""What other firewalls of the host do with what the bridge's guests send to and past it. Pure.

Standard library only. A packet passes if no table drops it, so an `accept` of ours does not help.
The kernel's nft rules are read, and with them those of iptables-nft, but not of iptables-legacy.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable
from typing import Any

from banger.network.bridge.addresses import BRIDGE

OWN_TABLE = "banger"


class Firewall(enum.Enum):
    """Whose rules drop what the bridge's guests send, as the helper says it."""

    NONE = b"-"
    DOCKER = b"d"
    DOCKER6 = b"6"
    UFW = b"u"
    FIREWALLD = b"f"
    OTHER = b"o"


def find_firewall(ruleset: str, *, is_ip6_bridged: bool = False) -> Firewall:
    """Return the first that drops, of the tables in this output of `nft -j list ruleset`.

    A hook with a rule for the bridge was told about it: what that rule says is its owner's.
    `is_ip6_bridged`: tables of `ip6` are shown what guests send each other.

    Raises:
        ValueError: it is no such output.
    """
    try:
        listed: list[dict[str, dict[str, Any]]] = json.loads(ruleset)["nftables"]
        chains = [each["chain"] for each in listed if "chain" in each]
        return _find_firewall(
            [each for each in chains if is_ip6_bridged or each["family"] != "ip6"],
            [each["rule"] for each in listed if "rule" in each],
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a list of rules: {error!r}") from error


def _find_firewall(chains: list[dict[str, Any]], rules: list[dict[str, Any]]) -> Firewall:
    for chain in chains:
        of_table = [rule for rule in rules if _table(rule) == _table(chain)]
        if _is_dropping(chain, of_table) and not _name_bridge(chain["name"], of_table):
            return _name_owner(chain, chains)
    return Firewall.NONE


def _table(part: dict[str, Any]) -> tuple[str, str]:
    return part["family"], part["table"]


def _is_dropping(chain: dict[str, Any], of_table: Iterable[dict[str, Any]]) -> bool:
    """Tell whether a hook's chain drops what no rule takes: by policy, or at its end."""
    hooks = {"ip": ("forward", "input"), "inet": ("forward", "input"), "ip6": ("forward",)}
    if chain.get("hook") not in hooks.get(chain["family"], ()):
        return False
    if chain["table"] == OWN_TABLE:
        return False
    *_, last = [[], *(rule.get("expr", []) for rule in of_table if rule["chain"] == chain["name"])]
    words = {word for statement in last for word in statement}
    return chain.get("policy") == "drop" or (
        "match" not in words and bool(words & {"drop", "reject"})
    )


def _name_bridge(chain: str, rules: list[dict[str, Any]]) -> bool:
    """Tell whether a rule of a chain, or of one that it leads to, names the bridge."""
    own = [rule for rule in rules if rule["chain"] == chain]
    others = [rule for rule in rules if rule["chain"] != chain]
    targets = {
        statement[word]["target"]
        for rule in own
        for statement in rule["expr"]
        for word in ("jump", "goto")
        if word in statement
    }
    is_named = any(f'"{BRIDGE}"' in json.dumps(rule) for rule in own)
    return is_named or any(_name_bridge(target, others) for target in targets)


def _name_owner(chain: dict[str, Any], chains: Iterable[dict[str, Any]]) -> Firewall:
    names = {each["name"] for each in chains if _table(each) == _table(chain)}
    if "DOCKER-USER" in names and chain["hook"] == "forward":  # Docker drops nothing else
        return Firewall.DOCKER6 if chain["family"] == "ip6" else Firewall.DOCKER
    if any(name.startswith(("ufw-", "ufw6-")) for name in names):
        return Firewall.UFW
    return Firewall.FIREWALLD if chain["table"] == "firewalld" else Firewall.OTHER
