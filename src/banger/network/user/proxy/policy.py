"""An egress policy by name, applied to names, addresses and ports of the host. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from banger.model.egress import NEVER, Egress, Rule
from banger.network.egress.policy import PRIVATE
from banger.network.egress.presets import list_rules

_CLOSED = (*NEVER, *map(IPv4Network, PRIVATE))


class Policy:
    """A parsed policy."""

    def __init__(self, egress: Egress) -> None:
        rules = list_rules(egress)
        self._names = [rule for rule in rules if rule.name]
        self._networks = [rule for rule in rules if rule.network]
        self._host = [rule for rule in rules if not rule.name and not rule.network]
        self.ports = frozenset(port for rule in rules if rule.allows for port in rule.ports)
        """Those that anything is allowed at."""

    def resolves(self, name: str) -> bool:
        """Tell whether a name, in lower case, can be reached at some port."""
        rules = self._rules_for(name)
        return any(_is_allowed(rules, port) for port in self.ports)

    def allows_name(self, name: str, port: int) -> bool:
        """Tell whether a name may be reached at a port."""
        return _is_allowed(self._rules_for(name), port)

    def _rules_for(self, name: str) -> list[Rule]:
        return [rule for rule in self._names if rule.has_name(name)]

    def allows_host(self, port: int) -> bool:
        """Tell whether a port of the host's loopback may be reached."""
        return _is_allowed(self._host, port)

    def allows_address(self, address: IPv4Address, port: int, *, is_own: bool) -> bool:
        """Tell whether a rule allows an address; `is_own`: it is one of the host's."""
        return self._judge(address, port, is_own=is_own) is True

    def allows_answer(self, address: IPv4Address, port: int, *, is_own: bool) -> bool:
        """Tell whether a name that is allowed may mean this address (DNS rebinding)."""
        judged = self._judge(address, port, is_own=is_own)
        return is_public(address) and not is_own if judged is None else judged

    def _judge(self, address: IPv4Address, port: int, *, is_own: bool) -> bool | None:
        """Return what the rules for networks say; None: nothing."""
        for rule in self._networks:
            assert rule.network is not None
            if address in rule.network and _concerns(rule, port):
                return rule.allows and (rule.network.prefixlen == 32 or not is_own)
        return None


def is_public(address: IPv4Address) -> bool:
    """Tell whether an address is in no private, special or unused network."""
    return not any(address in network for network in _CLOSED)


def _is_allowed(rules: Iterable[Rule], port: int) -> bool:
    rule = next((rule for rule in rules if _concerns(rule, port)), None)
    return rule is not None and rule.allows


def _concerns(rule: Rule, port: int) -> bool:
    if rule.protocol == "udp":
        return False
    return port in rule.ports if rule.allows else rule.first <= port <= rule.last
