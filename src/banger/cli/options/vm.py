"""Options for a VM's shape and lifetime, shared by `vm create` and `vm run`."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app import values
from banger.cli.app.parser import Parser
from banger.words import driver_words, network_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EGRESS_PROFILES = ("public", "none", "allowlist", "registries")


def add_sizing(parser: Parser) -> None:
    """Add all options that define a new VM."""
    add = parser.add_argument
    add("--name", help="name of the VM (default: a word pair such as calm-otter)")
    add("--image", help="image to start from (default: setting default_image)")
    add("--kernel", help="kernel to boot (default: setting default_kernel)")
    add(
        "--driver",
        type=values.driver,
        help=f"{' or '.join(driver_words())} (default: setting driver)",
    )
    add_shape(parser, has_defaults=True)
    add_egress(parser)
    add_secrets(parser)
    add_publish(parser)
    add_labels(parser)


def add_egress(parser: Parser) -> None:
    """Add the options of the egress policy; the order of rules is kept."""
    add = parser.add_argument
    add(
        "--egress",
        choices=EGRESS_PROFILES,
        metavar="PROFILE",
        help="egress profile: public (allows public addresses), none, allowlist (allows the host "
        "names in rules; TCP only) or registries (as allowlist, plus public package registries "
        "and code hosts) (default: setting egress.profile)",
    )
    rules: dict[str, Any] = {"action": "append", "dest": "egress_rules", "default": []}
    add(
        "--allow",
        **rules,
        metavar="TARGET",
        type="allow {}".format,
        help="allow connections to ADDRESS[/BITS][:PORT[-PORT]][/tcp|/udp] or, with --egress "
        "allowlist or registries, to NAME[:PORT[-PORT]] or *.NAME (default: ports 80 and 443) "
        "or to the targets of a preset such as @python; "
        "the first rule that matches decides; repeatable",
    )
    add(
        "--deny",
        **rules,
        metavar="TARGET",
        type="deny {}".format,
        help="deny connections to such a target; repeatable",
    )
    add(
        "--bandwidth",
        type=values.size_mib,
        metavar="SIZE",
        help="bandwidth of the VM's network per second, in each direction, such as 10M",
    )
    add(
        "--allow-host",
        **rules,
        metavar="PORT",
        type="allow host:{}".format,
        help="allow connections to a port on the host's loopback, which the guest reaches as "
        "host.vm; repeatable",
    )


def add_secrets(parser: Parser) -> None:
    """Add the option that lets a VM's requests carry secrets."""
    parser.add_argument(
        "--secret",
        action="append",
        dest="secrets",
        default=[],
        metavar="SECRET",
        help="add a secret saved with `banger secret set` to HTTPS requests of the VM; in the VM, "
        "its variable contains a placeholder; the egress profile is registries unless allowlist "
        "is set; repeatable",
    )


def add_ending(parser: Parser) -> None:
    """Add the options for time to live and restart policy."""
    add = parser.add_argument
    add(
        "--ttl",
        metavar="TIME",
        type=values.duration_s,
        help="stop the VM (with --rm: delete it) after this time, such as 2h",
    )
    add(
        "--restart",
        metavar="POLICY",
        type=values.restart_policy,
        help="restart policy: no (default), on-failure or always",
    )


def add_publish(parser: Parser) -> None:
    """Add the option that publishes ports."""
    parser.add_argument(
        "-p",
        "--publish",
        action="append",
        default=[],
        metavar="PORT",
        type=values.published_port,
        help="publish a port on 127.0.0.1: [ADDRESS:][HOST:]GUEST[/udp], where HOST and GUEST may "
        "be paths of Unix sockets; repeatable",
    )


def add_force(parser: Parser) -> None:
    """Add the option that skips the check of the host's memory."""
    parser.add_argument(
        "--force", action="store_true", help="skip the checks of the host's resources"
    )


def add_shape(
    parser: Parser,
    *,
    disk: str = "size of the data disk, such as 8G; sparse",
    has_defaults: bool = False,
) -> None:
    """Add the options that `vm set` has too; for a new VM, settings are their defaults."""

    def text(what: str, setting: str) -> str:
        return f"{what} (default: setting {setting})" if has_defaults else what

    vcpu = text("virtual CPUs", "vm_defaults.vcpu")
    memory = text("memory, such as 512M or 2G; a bare number is MiB", "vm_defaults.memory_mib")
    network = text(" or ".join(network_words()), "network")
    add = parser.add_argument
    add("--vcpu", type=values.count, metavar="N", help=vcpu)
    add("--memory", type=values.size_mib, metavar="SIZE", help=memory)
    add("--disk", type=values.size_mib, metavar="SIZE", help=text(disk, "vm_defaults.disk_gib"))
    add("--network", type=values.network, metavar="KIND", help=network)


def add_labels(parser: Parser) -> None:
    """Add the option that sets labels."""
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="K=V",
        type=values.label,
        help="add a label; repeatable",
    )


def shape_params(arguments: Namespace) -> dict[str, object]:
    """Return the parameters for the shape options that were given."""
    given = {
        "vcpu": arguments.vcpu,
        "memory_mib": arguments.memory,
        "disk_mib": arguments.disk,
        "network": arguments.network,
    }
    return {name: value for name, value in given.items() if value is not None}


def add_no_template(parser: Parser) -> None:
    """Add the option that boots a VM instead of cloning a template."""
    parser.add_argument(
        "--no-template", action="store_true", help="boot instead of using a template"
    )


def sizing_params(arguments: Namespace) -> dict[str, object]:
    """Return the parameters of `vm.create` for the options that were given."""
    given = {
        "name": arguments.name,
        "image": arguments.image,
        "kernel": arguments.kernel,
        "driver": arguments.driver,
        "labels": dict(arguments.label) or None,
        "ports": arguments.publish or None,
        "egress": arguments.egress,
        "egress_rules": arguments.egress_rules or None,
        "secrets": arguments.secrets or None,
        "bandwidth_mib": arguments.bandwidth,
        "ttl_s": arguments.ttl,
        "restart": arguments.restart,
        "force": arguments.force or None,
        "template": False if arguments.no_template else None,
        **shape_params(arguments),
    }
    return {name: value for name, value in given.items() if value is not None}
