"""A host tool, and the packages that contain it. Pure, standard library only: see `packages`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PackageManager(StrEnum):
    """A distribution's installer; the value is its program."""

    APT = "apt-get"
    DNF = "dnf"
    PACMAN = "pacman"
    ZYPPER = "zypper"
    APK = "apk"


@dataclass(frozen=True)
class Tool:
    """A program that banger starts, and the packages that bring it.

    `packages` is in the order of `PackageManager`; None where a distribution
    has none that we know of. `others` are further programs of the same packages. `paths`
    are patterns of files; one of them must exist, instead of a program.
    """

    program: str
    why: str
    packages: tuple[str | None, str | None, str | None, str | None, str | None]
    required: bool = True
    others: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    name: str | None = None
    """What a check of it is called; None: as the program."""
    setting: str | None = None
    """The setting that names the program, if it is not the one above."""
    oldest: tuple[int, ...] | None = None
    """The first release that does."""
    trial: tuple[str, ...] = ()
    """Arguments with which it succeeds where it can be used, for a program that hosts forbid."""
    otherwise: str = ""
    """What happens where it cannot be used; completes a sentence."""
    instead: str = ""
    """A program that does as well; without either a required tool is missing."""
    source: str = ""
    """Where its project releases it, for a program without which a host is complete as well."""

    def package(self, manager: PackageManager) -> str | None:
        """Return the package's name on a distribution, or None."""
        return self.packages[list(PackageManager).index(manager)]
