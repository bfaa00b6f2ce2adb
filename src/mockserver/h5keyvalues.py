"""Key-values: a group with a dataset of bytes for each key, and its routes."""

from __future__ import annotations

import urllib.parse

import falcon
import h5py
import numpy as np

from dvidclient.messages import keyvalues
from dvidclient.messages.protobuf import fields
from mockserver.h5answers import BINARY, Answers, answer, plain, say
from mockserver.h5datafile import DataFile
from mockserver.h5errors import NotThere, Refused
from mockserver.h5tree import Node

# HDF5 keeps the names of one group side by side in memory, and '/' and others take three bytes there.
LONGEST_KEY = 1000


class KeyValues(Answers):
    """Answers requests; the names of the methods are those of ``h5routes.ROUTES``."""

    def on_get_keys(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        """All keys, in order."""
        with self.data.reading(f"listing the keys of {name!r}"):
            found = keys_at(self.data, self.node(uuid), plain(name))
        answer(resp, found)

    def on_get_keyrange(
        self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, key: str, last: str
    ) -> None:
        """The keys from one to another, both included."""
        with self.data.reading(f"listing keys of {name!r}"):
            found = keys_at(self.data, self.node(uuid), plain(name))
        answer(resp, [each for each in found if plain(key) <= each <= plain(last)])

    def on_get_keyrangevalues(
        self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, key: str, last: str
    ) -> None:
        """The same with their values, as a protobuf message KeyValues."""
        _refuse_other_forms(req)
        with self.data.reading(f"reading keys of {name!r}"):
            node = self.node(uuid)
            found = [each for each in keys_at(self.data, node, plain(name)) if plain(key) <= each <= plain(last)]
            resp.data = self._message(node, plain(name), found)
        resp.content_type = BINARY

    def on_get_keyvalues(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        """The values of the keys of a protobuf message Keys; empty ones for keys that there are not."""
        _refuse_other_forms(req)
        wanted = [_text(part) for part in _fields_of(self.body(req, self.most_bytes))]
        with self.data.reading(f"reading keys of {name!r}"):
            resp.data = self._message(self.node(uuid), plain(name), wanted)
        resp.content_type = BINARY

    def on_post_keyvalues(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str) -> None:
        """Stores the values of a protobuf message KeyValues, all or none."""
        body = self.body(req, self.most_bytes)
        try:
            pairs = keyvalues.pairs_of(body)
        except ValueError as error:
            raise Refused(f"expected a protobuf message KeyValues: {error}") from error
        with self.data.writing(f"writing keys of {name!r}"):
            for key, value in pairs.items():
                set_value(self.data, self.node(uuid), plain(name), key, value)
        say(resp, "")

    def on_get_key(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, key: str) -> None:
        """The value of a key."""
        with self.data.reading(f"reading a key of {name!r}"):
            resp.data = value_at(self.data, self.node(uuid), plain(name), plain(key), self.most_bytes)
        resp.content_type = BINARY

    def on_post_key(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, key: str) -> None:
        """Stores a value."""
        value = self.body(req, self.most_bytes)
        with self.data.writing(f"writing a key of {name!r}"):
            set_value(self.data, self.node(uuid), plain(name), plain(key), value)
        say(resp, "")

    def on_delete_key(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, key: str) -> None:
        """Removes a key."""
        with self.data.writing(f"deleting a key of {name!r}"):
            delete_key(self.data, self.node(uuid), plain(name), plain(key))
        say(resp, "")

    def on_get_early_key(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, first: str) -> None:
        """As ``key``."""
        self.on_get_key(req, resp, uuid, name, first)

    def on_post_early_key(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, first: str) -> None:
        """As ``key``."""
        self.on_post_key(req, resp, uuid, name, first)

    def on_delete_early_key(self, req: falcon.Request, resp: falcon.Response, uuid: str, name: str, first: str) -> None:
        """As ``key``."""
        self.on_delete_key(req, resp, uuid, name, first)

    def _message(self, node: Node, name: str, keys: list[str]) -> bytes:
        group = _key_values(self.data, node, name)
        left = self.most_bytes
        pairs = []
        for key in keys:
            value = value_at(self.data, node, name, key, left) if _stored(key) in group else b""
            left -= len(value)
            pairs.append((key, value))
        return keyvalues.pairs_message(pairs)


def _fields_of(message: bytes) -> list[memoryview]:
    try:
        return [part for field, part in fields(memoryview(message)) if field == 1 and isinstance(part, memoryview)]
    except ValueError as error:
        raise Refused(f"expected a protobuf message Keys: {error}") from error


def _text(part: memoryview) -> str:
    try:
        return bytes(part).decode()
    except UnicodeDecodeError as error:
        raise Refused(f"expected a key in UTF-8, got {bytes(part[:40])!r}") from error


def _refuse_other_forms(req: falcon.Request) -> None:
    for form in ("json", "jsontar", "tar"):
        if req.get_param(form):
            raise Refused(f"{form}: many values are answered as a protobuf message only")


def keys_at(data: DataFile, node: Node, name: str) -> list[str]:
    """The keys of key-values."""
    return sorted(_key(stored) for stored in _key_values(data, node, name))


def value_at(data: DataFile, node: Node, name: str, key: str, most_bytes: int) -> bytes:
    """The value of a key.

    Raises:
        NotThere: there is no such key.
    """
    group = _key_values(data, node, name)
    if (stored := _stored(key)) not in group:
        raise NotThere(f"there is no key {key!r} in {name!r} at node {node.uuid!r}")
    value = group[stored]
    if not isinstance(value, h5py.Dataset) or value.dtype.itemsize != 1 or value.ndim != 1:
        raise Refused(f"the value of key {key!r} is not stored as bytes", 500)
    if value.size > most_bytes:
        raise Refused(f"the value of key {key!r} has {value.size} bytes, the limit is {most_bytes}", 413)
    return np.asarray(value[...]).tobytes()


def set_value(data: DataFile, node: Node, name: str, key: str, value: bytes) -> None:
    """Stores a value, to be called while writing."""
    _key_values(data, node, name)
    stored = _stored(key)
    group = data.own(node, name)
    if stored in group:
        del group[stored]
    group.create_dataset(stored, data=np.frombuffer(value, np.uint8))


def delete_key(data: DataFile, node: Node, name: str, key: str) -> None:
    """Removes a key, where it is there; to be called while writing."""
    _key_values(data, node, name)
    stored = _stored(key)
    group = data.own(node, name)
    if stored in group:
        del group[stored]


def _key_values(data: DataFile, node: Node, name: str) -> h5py.Group:
    group = data.group(data.holder(node, name))[name]
    if not isinstance(group, h5py.Group):
        raise Refused(f"{name!r} holds no key-values: it is a volume")
    return group


def _stored(key: str) -> str:
    """The name of a key's dataset: HDF5 has no names with '/', and '.' is the group itself."""
    stored = urllib.parse.quote(key, safe=" !#$&'()*+,:;<=>?@[]^_`{|}~-").replace(".", "%2E")
    if not 0 < len(key.encode("utf-8", "replace")) <= LONGEST_KEY:
        raise Refused(f"expected a key of 1 to {LONGEST_KEY} bytes, got {key[:40]!r}")
    return stored


def _key(stored: str) -> str:
    return urllib.parse.unquote(stored)
