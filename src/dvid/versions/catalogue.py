"""Finding nodes and instances by the names people use.

A directory is the metadata of the store as one snapshot shows it. It is kept as long as the store's stamp (a random
value that every change of metadata replaces) stays the same, so that the common request costs two dictionary look-ups.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dvid.errors import BadRequest, UnknownInstance, UnknownNode
from dvid.storage.protocol import Snapshot
from dvid.versions import layout
from dvid.versions.envelope import unseal
from dvid.versions.lineage import Lineage, Lineages, read_node
from dvid.versions.records import InstanceRecord, NodeRecord, Record, RepoRecord, decode

MASTER = "master"
_SELECTOR = re.compile(r"([^:~]*)(?::([^:~]*)(?:~(\d{1,9}))?)?")


def read_record(snapshot: Snapshot, key: bytes, kind: type[Record]) -> Record | None:
    """The record stored under a system key, or None."""
    stored = snapshot.get(key)
    return None if stored is None else decode(unseal(key, stored).payload, kind)


def read_number(snapshot: Snapshot, key: bytes) -> int | None:
    """The number stored under a system key, or None."""
    stored = snapshot.get(key)
    return None if stored is None else int.from_bytes(unseal(key, stored).payload, "big")


@dataclass(frozen=True, slots=True)
class Node:
    """A node as requests need it."""

    record: NodeRecord
    lineage: Lineage


class Directory:
    """The repos, nodes and instances of one state of the store."""

    def __init__(self, lineages: Lineages) -> None:
        self.lineages = lineages
        self._nodes: dict[str, Node] = {}
        self._instances: dict[tuple[int, str], InstanceRecord] = {}
        self._repos: dict[int, RepoRecord] = {}

    def node(self, snapshot: Snapshot, selector: str) -> Node:
        """The node that `selector` names.

        Selectors: a UUID or a unique prefix of one; a tag; `UUID:branch`, the leaf of that branch in the repo of the
        UUID; `UUID:branch~n`, its n-th predecessor; `:branch`, where the store has just one repo.

        Raises:
            UnknownNode: nothing, or more than one thing, has that name.
        """
        found = self._nodes.get(selector)
        if found is None:
            version = self._resolve(snapshot, selector)
            found = self._nodes[selector] = Node(read_node(snapshot, version), self.lineages.of(snapshot, version))
        return found

    def _resolve(self, snapshot: Snapshot, selector: str) -> int:
        match = _SELECTOR.fullmatch(selector)
        if match is None:
            raise UnknownNode(f"{selector!r} does not name a node: use a UUID, a prefix of one, or UUID:branch")
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
            found = self._instances[repo, name] = read_instance(snapshot, number)
        return found


class Catalogue:
    """Directories by the stamp of the state they describe, for one store and process."""

    def __init__(self) -> None:
        self.lineages = Lineages()
        self._latest: tuple[bytes, Directory] = b"", Directory(self.lineages)

    def at(self, snapshot: Snapshot) -> Directory:
        """The directory of what this snapshot shows.

        In a transaction: of what it showed before the transaction changed any metadata.
        """
        stored = snapshot.get(layout.STAMP)
        stamp = b"" if stored is None else bytes(stored)
        known, directory = self._latest
        if stamp != known:
            directory = Directory(self.lineages)
            self._latest = stamp, directory
        return directory


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
