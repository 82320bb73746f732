"""A bridge network has no settings."""

from banger.setting import Group

GROUPS: tuple[Group, ...] = ()
