"""Which software this is."""

from __future__ import annotations

from functools import cache
from importlib import metadata

REFERENCE_VERSION = "v1.0"
"""The generation of the HTTP API that is served; clients look for the "v" and the first number."""


@cache
def software_version() -> str:
    """The version of the installed package."""
    return metadata.version("dvid")
