"""Replies that are kept, so that a request which is sent again is answered as the first time and does nothing twice.

A client that gets no answer cannot know whether its request took effect. If it has sent the request under a key of its
own (the header `Idempotency-Key`), the reply is written in the transaction of the effects: there is an effect if and
only if there is a reply, whatever is killed at whichever moment. A store holds the replies to the requests that
wrote to it. They are found by their key; a second table orders them by time, for `prune`.
"""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import Final

import msgspec

from dvid.storage.protocol import Snapshot, Transaction
from dvid.versions import layout
from dvid.versions.catalogue import read_record
from dvid.versions.envelope import seal
from dvid.versions.records import encode

PRUNED_AT_ONCE = 1_000
"""Replies that one transaction removes."""

_HASH_BYTES: Final = 16


class KeptReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a request was answered."""

    time: int
    """When, in milliseconds since 1970."""
    request: bytes
    """Digest of the request: another one may not use its key."""
    body: bytes = b""
    media_type: str = ""
    status: int = 200
    headers: dict[str, str] = {}
    admin: bool = False
    """True if only an admin could send it."""


def find(snapshot: Snapshot, key: str, since: int) -> KeptReply | None:
    """The reply to the request with a key, unless it is from before the time `since` (milliseconds since 1970)."""
    found = read_record(snapshot, _row(key), KeptReply)
    return None if found is None or found.time < since else found


def keep(transaction: Transaction, key: str, reply: KeptReply) -> None:
    """Keep the reply to the request with a key, in place of an older one."""
    row = _row(key)
    before = read_record(transaction, row, KeptReply)
    if before is not None:
        transaction.delete(_time_row(before.time, row))
    transaction.put(row, seal(row, encode(reply)))
    transaction.put(_time_row(reply.time, row), b"")


def prune(transaction: Transaction, before: int, limit: int = PRUNED_AT_ONCE) -> int:
    """Remove replies from before a time (milliseconds since 1970), at most `limit` of them; how many."""
    due = islice(transaction.scan(layout.REPLY_TIME, layout.REPLY_TIME + layout.pack_u64(before)), limit)
    times = [bytes(entry.key) for entry in due]
    for key in times:
        transaction.delete(layout.REPLY + key[-_HASH_BYTES:])
        transaction.delete(key)
    return len(times)


def has_older(snapshot: Snapshot, before: int) -> bool:
    """Whether there are replies from before a time (milliseconds since 1970)."""
    due = snapshot.scan(layout.REPLY_TIME, layout.REPLY_TIME + layout.pack_u64(before))
    return next(iter(due), None) is not None


def _row(key: str) -> bytes:
    return layout.REPLY + hashlib.blake2b(key.encode(), digest_size=_HASH_BYTES).digest()


def _time_row(time: int, row: bytes) -> bytes:
    return layout.REPLY_TIME + layout.pack_u64(time) + row[-_HASH_BYTES:]
