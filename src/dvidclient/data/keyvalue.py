"""Keys and their values."""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from typing import Any

import urllib3

from dvidclient import answers, arguments
from dvidclient.connection import quoted
from dvidclient.data.calls import MISSING, ask, change, is_there
from dvidclient.data.instance import Instance
from dvidclient.errors import BadArgument, ServerRefused
from dvidclient.messages import keyvalues

VALUES_AT_ONCE = 256
"""How many values are asked for together while items are iterated over."""


class KeyValues(Instance, MutableMapping[str, bytes]):
    """A mapping of keys, texts that are not empty, to values of any bytes: a keyvalue instance at a version.

    Keys come in the order of the server, that of their UTF-8 bytes. Each key that is read or written by itself is a request;
    ``get_many``, ``range``, ``update`` and iterating over ``items()`` take many at a time.
    """

    def __getitem__(self, key: str) -> bytes:
        try:
            return ask(self, _path(key), f"reading key {key!r} of {self}", answers.whole)
        except ServerRefused as refused:
            if refused.status != MISSING:
                raise
            raise KeyError(key) from refused

    def __setitem__(self, key: str, value: bytes | bytearray | memoryview) -> None:
        change(self, _path(key), f"writing key {key!r} of {self}", answers.nothing, body=_value(key, value))

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._delete(key)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str) or not key:
            return False
        return is_there(self, _path(key), f"asking for key {key!r} of {self}")

    def __iter__(self) -> Iterator[str]:
        return iter(ask(self, "keys", f"listing the keys of {self}", _texts))

    def __len__(self) -> int:
        return len(ask(self, "keys", f"listing the keys of {self}", _texts))

    def __bool__(self) -> bool:
        return True

    def items(self) -> ItemsView[str, bytes]:
        """Keys and values, read many at a time."""
        return _Items(self)

    def values(self) -> ValuesView[bytes]:
        """Values in the order of the keys, read many at a time."""
        return _Values(self)

    # ---- many at a time -------------------------------------------------------------------------

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The values of keys, in one request; keys that there are not are left out.

        Servers answer an empty value for a key that there is not: where a value is empty, another request asks whether there is
        the key.
        """
        wanted = [arguments.text(key, "key") for key in keys]
        if not wanted:
            return {}
        what = f"reading {len(wanted)} keys of {self}"
        found = ask(self, "keyvalues", what, _pairs, body=keyvalues.keys_message(wanted))
        return {key: found[key] for key in wanted if found.get(key) or (key in found and key in self)}

    def keys_between(self, first: str, last: str) -> list[str]:
        """The keys from one to another, both included, in their order."""
        path = f"keyrange/{quoted(first, 'first')}/{quoted(last, 'last')}"
        return ask(self, path, f"listing the keys from {first!r} to {last!r} of {self}", _texts)

    def range(self, first: str, last: str) -> dict[str, bytes]:
        """The keys from one to another, both included, with their values, in one request."""
        path = f"keyrangevalues/{quoted(first, 'first')}/{quoted(last, 'last')}"
        return ask(self, path, f"reading the keys from {first!r} to {last!r} of {self}", _pairs)

    def update(self, other: Any = (), /, **more: bytes) -> None:
        """Writes several values, all or none, in one request.

        Args:
            other: a mapping, or keys and values.
            more: further keys and values.
        """
        pairs = {**dict(other.items() if isinstance(other, Mapping) else other), **more}
        if not pairs:
            return
        message = keyvalues.pairs_message(
            (arguments.text(key, "key"), _value(key, value)) for key, value in pairs.items()
        )
        change(self, "keyvalues", f"writing {len(pairs)} keys of {self}", answers.nothing, body=message)

    def clear(self) -> None:
        """Removes all keys at this version, one after the other."""
        for key in self:
            self._delete(key)

    # ---- documents ------------------------------------------------------------------------------

    def json(self, key: str) -> Any:
        """The document that a value is in JSON.

        Raises:
            KeyError: there is no such key.
            ValueError: the value is no JSON.
        """
        return json.loads(self[key])

    def put_json(self, key: str, document: Any) -> None:
        """Writes a document as JSON."""
        self[key] = json.dumps(document).encode()

    def _delete(self, key: str) -> None:
        change(self, _path(key), f"removing key {key!r} of {self}", answers.nothing, method="DELETE")


class _Items(ItemsView[str, bytes]):
    def __init__(self, mapping: KeyValues) -> None:
        super().__init__(mapping)
        self._keyvalues = mapping

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        keys = list(self._keyvalues)
        for start in range(0, len(keys), VALUES_AT_ONCE):
            yield from self._keyvalues.get_many(keys[start : start + VALUES_AT_ONCE]).items()


class _Values(ValuesView[bytes]):
    def __init__(self, mapping: KeyValues) -> None:
        super().__init__(mapping)
        self._keyvalues = mapping

    def __iter__(self) -> Iterator[bytes]:
        return (value for _, value in self._keyvalues.items())


def _path(key: Any) -> str:
    return f"key/{quoted(key, 'key')}"


def _value(key: str, value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise BadArgument(f"value of {key!r}: expected bytes, got {type(value).__name__}; put_json writes documents")
    return bytes(value)


def _texts(response: urllib3.BaseHTTPResponse) -> list[str]:
    found = answers.entries(response)
    if not all(isinstance(one, str) for one in found):
        raise answers.Broken(f"expected a list of keys, got {str(found)[:100]}")
    return found


def _pairs(response: urllib3.BaseHTTPResponse) -> dict[str, bytes]:
    try:
        return keyvalues.pairs_of(answers.whole(response))
    except ValueError as error:
        raise answers.Broken(f"expected keys and values: {error}") from None
