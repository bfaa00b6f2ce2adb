"""Writing metadata: records under system keys, and the counters that number repos, versions and instances."""

from __future__ import annotations

import msgspec

from dvid.errors import Conflict
from dvid.storage.protocol import Transaction
from dvid.versions import layout
from dvid.versions.catalogue import put_number, read_number
from dvid.versions.envelope import seal
from dvid.versions.records import encode


def put_record(transaction: Transaction, key: bytes, record: msgspec.Struct) -> None:
    """Store a record under a system key."""
    transaction.put(key, seal(key, encode(record)))


def next_number(transaction: Transaction, name: str) -> int:
    """The next number of a kind ("repo", "version", "instance"); they begin at 1 and are never used again.

    Raises:
        Conflict: there are no more.
    """
    key = layout.COUNTER + name.encode()
    number = (read_number(transaction, key) or 0) + 1
    if number >= layout.NEWEST:
        raise Conflict(f"the store has used up its {name} numbers")
    put_number(transaction, key, number)
    return number
