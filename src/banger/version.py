"""The version of this package; a test compares it with `pyproject.toml`.

A constant, because `importlib.metadata` costs the command line 15 ms.
"""

VERSION = "0.1.0"
