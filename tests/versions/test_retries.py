"""Replies that are kept: found by their key until they expire, and then removed a few at a time."""

from __future__ import annotations

import pytest

from dvid.background import forget_replies
from dvid.database import Database
from dvid.errors import CorruptValue
from dvid.versions import layout
from dvid.versions.retries import KeptReply, find, has_older, keep, prune
from dvid.versions.verify import verify


def kept(time: int, body: bytes = b"") -> KeptReply:
    return KeptReply(time=time, request=bytes(16), body=body, media_type="text/plain", headers={"X": "y"})


def put(database: Database, key: str, reply: KeptReply) -> None:
    database.store.transact(lambda transaction: keep(transaction, key, reply))


def found(database: Database, key: str, since: int = 0) -> KeptReply | None:
    with database.store.snapshot() as snapshot:
        return find(snapshot, key, since)


def rows(database: Database) -> int:
    with database.store.snapshot() as snapshot:
        tables = (layout.REPLY, layout.REPLY_TIME)
        return sum(1 for table in tables for _ in snapshot.scan(table, layout.after(table)))


def test_a_reply_is_found_under_its_key_only(database: Database) -> None:
    put(database, "a", kept(5, b"first"))
    put(database, "b", kept(6, b"second"))
    assert found(database, "a") == kept(5, b"first")
    assert found(database, "b") == kept(6, b"second")
    assert found(database, "c") is None
    assert list(verify(database.store)) == []


def test_a_reply_that_has_expired_is_not_found(database: Database) -> None:
    put(database, "a", kept(5))
    assert found(database, "a", 5) is not None
    assert found(database, "a", 6) is None


def test_the_reply_in_place_of_an_expired_one_lives_as_long_as_any(database: Database) -> None:
    put(database, "a", kept(5, b"old"))
    put(database, "a", kept(50, b"new"))
    assert forget_replies(database, before=50) == 0
    assert found(database, "a") == kept(50, b"new")
    assert rows(database) == 2


def test_expired_replies_are_removed_oldest_first_and_a_few_at_a_time(database: Database) -> None:
    for number in range(10):
        put(database, f"key{number}", kept(100 - number))
    assert database.store.transact(lambda transaction: prune(transaction, 98, 3)) == 3
    left = [number for number in range(10) if found(database, f"key{number}") is not None]
    assert left == [0, 1, 2, 3, 4, 5, 6]
    with database.store.snapshot() as snapshot:
        assert has_older(snapshot, 98)
        assert not has_older(snapshot, 94)
    assert forget_replies(database, before=98) == 4
    assert forget_replies(database, before=98) == 0
    assert [number for number in range(10) if found(database, f"key{number}") is not None] == [0, 1, 2]
    assert rows(database) == 6


def test_a_damaged_reply_is_told_and_never_answered(database: Database) -> None:
    put(database, "a", kept(5, b"reply"))
    with database.store.snapshot() as snapshot:
        key, value = next(snapshot.scan(layout.REPLY, layout.after(layout.REPLY)))
        damaged = bytes(value[:-1]) + bytes([value[-1] ^ 1])
    database.store.transact(lambda transaction: transaction.put(bytes(key), damaged))
    with pytest.raises(CorruptValue, match=bytes(key).hex()):
        found(database, "a")
    assert [problem.key for problem in verify(database.store)] == [bytes(key)]
