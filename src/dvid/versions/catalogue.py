"""Finding nodes and instances by the names people use.

A directory is the metadata of the store as one snapshot shows it. It is kept as long as the store's stamp (a random
value that every change of metadata replaces) stays the same, so that the common request costs two dictionary look-ups.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from dvid.errors import BadRequest, UnknownInstance, UnknownNode
from dvid.storage.protocol import Snapshot, Transaction
from dvid.versions import layout
from dvid.versions.envelope import seal, unseal
from dvid.versions.lineage import Lineage, Lineages, read_node
from dvid.versions.records import InstanceRecord, NodeRecord, Record, RepoRecord, decode

MASTER = "master"
_MOST_KEPT = 100_000
_SELECTOR = re.compile(r"([^:~]*)(?::([^:~]*)(?:~(\d{1,9}))?)?")


def read_record(snapshot: Snapshot, key: bytes, kind: type[Record]) -> Record | None:
    """The record stored under a system key, or None."""
    stored = snapshot.get(key)
    return None if stored is None else decode(unseal(key, stored).payload, kind)


def read_number(snapshot: Snapshot, key: bytes) -> int | None:
    """The number stored under a system key, or None."""
    stored = snapshot.get(key)
    return None if stored is None else int.from_bytes(unseal(key, stored).payload, "big")


def put_number(transaction: Transaction, key: bytes, number: int) -> None:
    """Store a number under a system key."""
    transaction.put(key, seal(key, layout.pack_u64(number)))


def touch(transaction: Transaction, repo: int) -> None:
    """Give the store and the repo a new stamp: whatever was derived from their metadata is out of date."""
    # Random, not counted up: a count could be given out twice when a group of transactions fails to commit.
    stamp = os.urandom(12)
    transaction.put(layout.STAMP, stamp)
    transaction.put(layout.REPO_STAMP + layout.pack_u32(repo), stamp)


@dataclass(frozen=True, slots=True)
class Node:
    """A node as requests need it."""

    record: NodeRecord
    lineage: Lineage


class Directory:
    """The repos, nodes and instances of one state of the store. Safe for use by many threads."""

    def __init__(self, lineages: Lineages, stamp: bytes) -> None:
        self.lineages = lineages
        self._stamp = stamp
        self.committed = False
        """True once a snapshot has shown this state."""
        self._nodes: dict[str, Node] = {}
        self._instances: dict[tuple[int, str], InstanceRecord] = {}
        self._repos: dict[int, RepoRecord] = {}

    def _may_keep(self, snapshot: Snapshot) -> bool:
        """True unless a transaction has changed the metadata since this directory was made for it."""
        return stamp_of(snapshot) == self._stamp

    def node(self, snapshot: Snapshot, selector: str) -> Node:
        """The node that `selector` names.

        Selectors: a UUID or a unique prefix of one; a tag; `UUID:branch`, the leaf of that branch in the repo of the
        UUID; `UUID:branch~n`, its n-th predecessor; `:branch`, where the store has just one repo.

        Raises:
            UnknownNode: nothing, or more than one thing, has that name.
        """
        found = self._nodes.get(selector)
        if found is None:
            found = self.version(snapshot, self._resolve(snapshot, selector))
            if self._may_keep(snapshot):
                if len(self._nodes) >= _MOST_KEPT:
                    self._nodes = {}
                self._nodes[selector] = found
        return found

    def _resolve(self, snapshot: Snapshot, selector: str) -> int:
        match = _SELECTOR.fullmatch(selector)
        if match is None:
            raise UnknownNode(f"{selector[:80]!r} does not name a node: use a UUID, a prefix of one, or UUID:branch")
        prefix, branch, steps = match.groups()
        if branch is None:
            return self._by_prefix(snapshot, prefix)
        repo = self._only_repo(snapshot) if not prefix else read_node(snapshot, self._by_prefix(snapshot, prefix)).repo
        version = read_number(snapshot, branch_key(repo, branch))
        if version is None:
            raise UnknownNode(f"the repo has no branch {branch or MASTER!r}")
        for step in range(int(steps or 0)):
            parents = read_node(snapshot, version).parents
            if not parents:
                raise UnknownNode(f"{selector!r}: the branch has only {step} nodes before its leaf")
            version = parents[0]
        return version

    def _by_prefix(self, snapshot: Snapshot, prefix: str) -> int:
        if not prefix:
            raise UnknownNode("an empty name does not name a node")
        key = layout.UUID + prefix.encode()
        exact = read_number(snapshot, key)
        if exact is not None:
            return exact
        matches = snapshot.scan(key, layout.after(key))
        first = next(matches, None)
        if first is None:
            raise UnknownNode(f"there is no node with UUID or tag {prefix!r}, nor one that begins so")
        if next(matches, None) is not None:
            raise UnknownNode(f"more than one UUID begins with {prefix!r}: give more of it")
        return int.from_bytes(unseal(bytes(first.key), first.value).payload, "big")

    def _only_repo(self, snapshot: Snapshot) -> int:
        repos = [
            entry.key for entry, _ in zip(snapshot.scan(layout.REPO, layout.after(layout.REPO)), "ab", strict=False)
        ]
        if len(repos) != 1:
            raise UnknownNode("a branch without a UUID names a node only where the store has exactly one repo")
        return layout.unpack_u32(repos[0][-4:])

    def version(self, snapshot: Snapshot, version: int) -> Node:
        """The node with that version number."""
        return Node(read_node(snapshot, version), self.lineages.of(snapshot, version))

    def repo(self, snapshot: Snapshot, number: int) -> RepoRecord:
        """The record of a repo."""
        found = self._repos.get(number)
        if found is None:
            found = read_record(snapshot, layout.REPO + layout.pack_u32(number), RepoRecord)
            if found is None:
                raise UnknownNode(f"there is no repo {number}")
            if self._may_keep(snapshot):
                self._repos[number] = found
        return found

    def instance(self, snapshot: Snapshot, repo: int, name: str) -> InstanceRecord:
        """The instance of that name in a repo.

        Raises:
            UnknownInstance: there is none.
        """
        found = self._instances.get((repo, name))
        if found is None:
            number = read_number(snapshot, name_key(repo, name))
            if number is None:
                root = self.repo(snapshot, repo).root_uuid
                raise UnknownInstance(f"the repo with root {root} has no data instance named {name!r}")
            found = read_instance(snapshot, number)
            if self._may_keep(snapshot):
                self._instances[repo, name] = found
        return found


class Catalogue:
    """Directories by the stamp of the state they describe, for one store and process. Safe for use by many threads."""

    def __init__(self) -> None:
        self.lineages = Lineages()
        self._latest: tuple[bytes, Directory] = b"", Directory(self.lineages, b"")

    def at(self, snapshot: Snapshot) -> Directory:
        """The directory of what this snapshot shows."""
        stamp = stamp_of(snapshot)
        known, directory = self._latest
        if stamp != known or not directory.committed:
            self.lineages.committed(read_number(snapshot, layout.COUNTER + b"version") or 0)
            directory = self._keep(stamp, committed=True)
        return directory

    def within(self, transaction: Snapshot) -> Directory:
        """The directory of what a transaction shows before it changes any metadata.

        It may be that of a state that is never committed: of a transaction that shares the next commit.
        """
        stamp = stamp_of(transaction)
        known, directory = self._latest
        return directory if stamp == known else self._keep(stamp, committed=False)

    def _keep(self, stamp: bytes, *, committed: bool) -> Directory:
        known, directory = self._latest
        if stamp != known:
            directory = Directory(self.lineages, stamp)
            self._latest = stamp, directory
        directory.committed = directory.committed or committed
        return directory


def stamp_of(snapshot: Snapshot) -> bytes:
    """The stamp of the metadata; every change of them replaces it."""
    stored = snapshot.get(layout.STAMP)
    return b"" if stored is None else bytes(stored)


def read_instance(snapshot: Snapshot, number: int) -> InstanceRecord:
    """The record of an instance."""
    record = read_record(snapshot, layout.INSTANCE + layout.pack_u32(number), InstanceRecord)
    if record is None:
        raise UnknownInstance(f"there is no data instance {number}")
    return record


def branch_key(repo: int, branch: str) -> bytes:
    """Where the leaf of a branch is kept; "" and "master" are the same branch."""
    return layout.BRANCH + layout.pack_u32(repo) + (branch if branch != MASTER else "").encode()


def name_key(repo: int, name: str) -> bytes:
    """Where the number of an instance is kept."""
    return layout.NAME + layout.pack_u32(repo) + checked_name(name).encode()


def checked_name(name: str) -> str:
    """The name of an instance, if it may be one.

    Raises:
        BadRequest: it is empty, too long, or has characters that cannot stand in a path.
    """
    if not name:
        raise BadRequest("the name of a data instance is empty")
    if len(name.encode(errors="replace")) > 200:
        raise BadRequest("the name of a data instance is longer than 200 bytes")
    if not name.isprintable() or any(c in "/?#%\\" for c in name):
        raise BadRequest(f"the name of a data instance has a character that cannot stand in a path: {name!r}")
    return name
