"""Writing TOML: the standard library only reads it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def write_toml(tables: Mapping[str, Any]) -> str:
    """A TOML document of `tables`: nested mappings, lists, texts, numbers, flags, dates and times.

    Mappings inside lists are written as inline tables. Raises TypeError for a value TOML has no form for.
    """
    lines: list[str] = []
    _write_table((), tables, lines)
    return "\n".join(lines).strip("\n") + "\n"


def _write_table(path: tuple[str, ...], table: Mapping[str, Any], lines: list[str]) -> None:
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    if path and (values or not inner):
        lines += ["", f"[{'.'.join(_key(part) for part in path)}]"]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in values.items()]
    for key, value in inner.items():
        _write_table((*path, key), value, lines)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + "}"
    raise TypeError(f"TOML has no form for a value of type {type(value).__name__}")


def _text(text: str) -> str:
    # TOML allows no control character but the tab inside a text; \uXXXX stands for any of them.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
