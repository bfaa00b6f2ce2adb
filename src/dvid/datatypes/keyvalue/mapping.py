"""Key-values as a mutable mapping of texts to bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from dvid.datatypes.handles import Handle
from dvid.datatypes.keyvalue.operations import delete, get, list_keys, list_values, pack, put
from dvid.storage.protocol import Buffer


class KeyValues(Handle, MutableMapping[str, bytes]):
    """The key-values at a node: `values["key"]` reads, assigning to it writes, `del` removes. Keys come in order."""

    def __getitem__(self, key: str) -> bytes:
        with self.view() as view:
            value = get(view, key)
            if value is None:
                raise KeyError(key)
            return bytes(value)

    def __setitem__(self, key: str, value: Buffer) -> None:
        self.put_many({key: value})

    def __delitem__(self, key: str) -> None:
        if not self.edit(lambda edit: delete(edit, key)):
            raise KeyError(key)

    def put_many(self, values: Mapping[str, Buffer]) -> None:
        """Store several values in one transaction: all of them or none."""
        with self.view() as view:
            packed = pack(view.instance, values.items())
        self.edit(lambda edit: put(edit, packed))

    def range(self, first: str | None = None, last: str | None = None) -> dict[str, bytes]:
        """The keys from `first` to `last`, both included, with their values."""
        with self.view() as view:
            return {key: bytes(value) for key, value in list_values(view, first, last)}

    def __iter__(self) -> Iterator[str]:
        with self.view() as view:
            return iter(list(list_keys(view)))

    def __len__(self) -> int:
        with self.view() as view:
            return sum(1 for _ in list_keys(view))

    def __contains__(self, key: Any) -> bool:
        if not isinstance(key, str) or not key:
            return False
        with self.view() as view:
            return get(view, key) is not None
