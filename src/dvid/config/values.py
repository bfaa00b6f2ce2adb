"""Kinds of setting: what a value may look like, and the type it becomes."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

LARGEST_SIZE = 2**63 - 1
"""Largest size in bytes: file offsets are signed 64-bit numbers."""

_LONGEST_LINE = 1000
_LONGEST_VALUE = 100
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
_ORIGIN = re.compile(r"(?:(?P<scheme>https?)://)?(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?/?")
_SIZE = re.compile(r"(?P<number>[0-9]{1,19}(?:\.[0-9]{1,9})?) ?(?P<unit>[A-Za-z]*)")
_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtp", start=1):
    _UNITS[f"{_letter}b"] = 1000**_power
    _UNITS[f"{_letter}ib"] = 1024**_power


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a setting's value may be.

    `parse` turns a TOML value into the setting's type and raises ValueError where it does not fit. `from_text` turns
    the text of an environment variable or an option into the TOML value it stands for.
    """

    name: str
    """The short name in the documentation's tables."""
    expects: str
    """What is allowed, as it follows "expected" in an error message."""
    parse: Callable[[object], T]
    from_text: Callable[[str], object] = str
    is_path: bool = False
    """Relative paths are taken from the folder of the configuration file, or the current one."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: a host name or an IP address (IPv6 without brackets), and a TCP port."""

    host: str
    port: int
    """0 stands for a free port, chosen when the server starts."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. Of the names, only `localhost` counts."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def one_line(text: str) -> str:
    """A text from outside, with escapes for what would break or blur a one-line message."""
    if len(text) > _LONGEST_LINE:
        text = text[:_LONGEST_LINE] + "..."
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(value: object) -> str:
    """A TOML value on one line, shortened, for messages."""
    if isinstance(value, list | tuple):
        few = ["[...]" if isinstance(one, list | tuple) else shown(one) for one in value[:5]]
        return f"[{', '.join(few)}{', ...' if len(value) > 5 else ''}]"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + one_line(value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "...") + '"'
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"  # Python refuses to print very long numbers
    return one_line(str(value))


def _fits(condition: bool) -> None:
    if not condition:
        raise ValueError


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    _fits("\0" not in value)
    value.encode()  # a lone surrogate could be neither sent nor logged: UnicodeEncodeError is a ValueError
    return value


def _line(value: object) -> str:
    text = _text(value)
    _fits(text.isprintable())
    return text


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _flag_from_text(text: str) -> object:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text.lower(), text)


def _whole_from_text(text: str) -> object:
    return int(text) if re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII) else text


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    _fits(0 < value <= 86_400 and math.isfinite(value))
    return float(value)


def _seconds_from_text(text: str) -> object:
    return float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII) else text


def _size(value: object, minimum: int) -> int:
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        if found is None or found["unit"].lower() not in _UNITS:
            raise ValueError
        unit = _UNITS[found["unit"].lower()]
        whole, _, fraction = found["number"].partition(".")
        value = int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError
    _fits(minimum <= value <= LARGEST_SIZE)
    return value


def _address(value: object) -> Address:
    host, colon, port = _line(value).strip().rpartition(":")
    _fits(bool(colon) and re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) is not None and int(port) <= 65_535)
    if host.startswith("[") and host.endswith("]"):
        host = str(ipaddress.IPv6Address(host[1:-1]))
    elif re.fullmatch(r"[0-9.]+", host):
        host = str(ipaddress.IPv4Address(host))
    else:
        _fits(host == "" or _HOST_NAME.fullmatch(host) is not None)
    return Address(host or "127.0.0.1", int(port))


def _path(value: object) -> str:
    text = _line(value)
    _fits(text != "")
    os.fsencode(text)
    return text


def _inner_file(value: object) -> str:
    text = _line(value)
    _fits(not text.startswith("/") and ".." not in text.split("/"))
    return text


def _url_path(value: object) -> str:
    text = _line(value)
    # A second slash would make a browser go to another server.
    _fits(not text.startswith("//") and "\\" not in text)
    return text if text == "" or text.startswith("/") else f"/{text}"


def _origin(value: object) -> str:
    text = _line(value).strip().lower()
    found = _ORIGIN.fullmatch(text)
    if text == "*":
        return text
    if found is None:
        raise ValueError
    _fits(int(found["port"] or 0) <= 65_535)
    if found["host"].startswith("["):
        ipaddress.IPv6Address(found["host"][1:-1])
    else:
        _fits(_HOST_NAME.fullmatch(found["host"]) is not None)
    return text.rstrip("/")


def _origins(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError
    return tuple(dict.fromkeys(_origin(one) for one in value))


def choice(*allowed: str) -> Kind[str]:
    """One of a few words, in any case."""

    def parse(value: object) -> str:
        word = _text(value).lower()
        _fits(word in allowed)
        return word

    words = [f'"{word}"' for word in allowed]
    listed = words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
    return Kind(listed, listed, parse)


def whole(minimum: int, maximum: int) -> Kind[int]:
    """A whole number from `minimum` to `maximum`."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError
        _fits(minimum <= value <= maximum)
        return value

    return Kind(
        f"number, {minimum} to {maximum}", f"a whole number from {minimum} to {maximum}", parse, _whole_from_text
    )


def size(minimum: int = 1) -> Kind[int]:
    """A number of bytes, as a number or as text with a unit."""
    return Kind(
        "size",
        f'a size of at least {minimum} bytes, such as 1048576, "512 MiB" or "4 GB"',
        lambda value: _size(value, minimum),
        _whole_from_text,
    )


TEXT = Kind("text", "a text", _text)
LINE = Kind("text", "a text of one line", _line)
FLAG = Kind("flag", "true or false", _flag, _flag_from_text)
SECONDS = Kind("seconds", "a number of seconds above 0, at most 86400", _seconds, _seconds_from_text)
PATH = Kind("path", "a path", _path, is_path=True)
INNER_FILE = Kind("file", 'a file name inside the folder "webClient", without ".."', _inner_file)
URL_PATH = Kind("URL path", 'a path on this server, such as "/index.html"', _url_path)
ADDRESS = Kind(
    "address",
    '"host:port", such as "127.0.0.1:8000", "0.0.0.0:8000" or "[::1]:8000", with a port from 0 to 65535',
    _address,
)
ORIGINS = Kind(
    "list of origins",
    'a list of origins, such as ["https://neuroglancer-demo.appspot.com", "example.org"] or ["*"]',
    _origins,
    lambda text: [part for part in re.split(r"[,\s]+", text) if part],
)
