"""The version of this package; `pyproject.toml` holds the same, and a test compares.

A constant, because `importlib.metadata` costs the command line 15 ms.
"""

VERSION = "0.1.0"
