"""The logs of nodes and repos: lines of text that people leave, each with its time."""

from __future__ import annotations

from collections.abc import Iterable

from dvid.storage.protocol import Snapshot, Transaction
from dvid.versions import layout
from dvid.versions.envelope import seal, unseal
from dvid.versions.records import NodeRecord, RepoRecord, timestamp


def append_log(transaction: Transaction, owner: NodeRecord | RepoRecord, lines: Iterable[str]) -> None:
    """Append lines to the log of a node or repo, each with the time before it."""
    prefix = _prefix_of(owner)
    last = next(iter(transaction.scan(prefix, layout.after(prefix), reverse=True)), None)
    first = 0 if last is None else layout.unpack_u32(bytes(last.key)[-4:]) + 1
    for number, line in enumerate(lines, first):
        key = prefix + layout.pack_u32(number)
        transaction.put(key, seal(key, f"{timestamp()}  {line}".encode()))


def read_log(snapshot: Snapshot, owner: NodeRecord | RepoRecord) -> list[str]:
    """The log of a node or repo."""
    prefix = _prefix_of(owner)
    entries = snapshot.scan(prefix, layout.after(prefix))
    return [bytes(unseal(bytes(key), value).payload).decode() for key, value in entries]


def delete_log(transaction: Transaction, owner: NodeRecord | RepoRecord) -> None:
    """Remove the log of a node or repo."""
    prefix = _prefix_of(owner)
    transaction.delete_range(prefix, layout.after(prefix))


def _prefix_of(owner: NodeRecord | RepoRecord) -> bytes:
    if isinstance(owner, RepoRecord):
        return layout.REPO_LOG + layout.pack_u32(owner.number)
    return layout.NODE_LOG + layout.pack_u32(owner.version)
