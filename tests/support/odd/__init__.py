"""A corpus of odd repositories (F4), each written by a function of its own.

`CORPUS` has them by name. A function writes below an empty directory and returns the directory that
a user would name. What a repository is refused for is part of its entry; everything else works.
"""

from __future__ import annotations

from tests.support.odd import contents, files, histories, indexes, places, submodules
from tests.support.odd.registry import CORPUS, Odd

__all__ = ["CORPUS", "Odd", "contents", "files", "histories", "indexes", "places", "submodules"]
