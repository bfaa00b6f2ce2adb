"""All records of a store at once, and whether they fit together: what `verify` goes by."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from dvid.errors import CorruptValue, DvidError
from dvid.storage.protocol import Snapshot
from dvid.versions import layout
from dvid.versions.catalogue import MASTER
from dvid.versions.envelope import expand, unseal
from dvid.versions.instances import doomed_store
from dvid.versions.records import InstanceRecord, NodeRecord, RepoRecord, decode
from dvid.versions.retries import KeptReply

BAD_DATA: Final = (msgspec.MsgspecError, UnicodeError, struct.error, ValueError, TypeError, LookupError)
"""What decoding damaged data raises."""

Reader = Callable[["Inventory", bytes, memoryview], None]
"""Takes in one entry of a table."""

_STAMP_BYTES = 12


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong in a store."""

    key: bytes
    what: str
    instance: str = ""
    """Name of the data instance, where there is one."""
    node: str = ""
    """UUID of the node, where there is one."""
    is_note: bool = False
    """True for what is worth knowing, and no damage."""


@dataclass(slots=True)
class Inventory:
    """The records of a store by their numbers, and what could not be read."""

    repos: dict[int, RepoRecord] = field(default_factory=dict)
    nodes: dict[int, NodeRecord] = field(default_factory=dict)
    instances: dict[int, InstanceRecord] = field(default_factory=dict)
    uuids: dict[str, int] = field(default_factory=dict)
    children: set[tuple[int, int]] = field(default_factory=set)
    """(parent, child)."""
    branches: dict[tuple[int, str], int] = field(default_factory=dict)
    names: dict[tuple[int, str], int] = field(default_factory=dict)
    doomed: set[int] = field(default_factory=set)
    """Deleted instances whose data may still be there."""
    counters: dict[str, int] = field(default_factory=dict)
    owned: list[tuple[bytes, str, int]] = field(default_factory=list)
    """Keys that belong to a repo or node: (key, which, number)."""
    problems: list[Problem] = field(default_factory=list)
    entries: int = 0

    # ---- what refers to what ----------------------------------------------------------------

    def contradictions(self) -> Iterator[Problem]:
        """What does not fit together."""
        yield from self._check_repos()
        for version, node in self.nodes.items():
            for what in self._check_node(version, node):
                yield Problem(layout.NODE + layout.pack_u32(version), what, node=node.uuid)
        yield from self._check_node_tables()
        yield from self._check_instances()
        yield from self._check_numbers()

    def _check_repos(self) -> Iterator[Problem]:
        for number, repo in self.repos.items():
            key = layout.REPO + layout.pack_u32(number)
            if repo.number != number:
                yield Problem(key, f"the record of repo {number} says that it is repo {repo.number}")
            root = self.nodes.get(repo.root_version)
            if root is None:
                yield Problem(key, f"the root of repo {repo.root_uuid}, version {repo.root_version}, does not exist")
            elif root.uuid != repo.root_uuid or root.repo != number or root.parents:
                yield Problem(
                    key, f"version {repo.root_version} is not the root of repo {repo.root_uuid}", "", root.uuid
                )

    def _check_node(self, version: int, node: NodeRecord) -> Iterator[str]:
        if node.version != version:
            yield f"the record of version {version} says that it is version {node.version}"
        repo = self.repos.get(node.repo)
        if repo is None:
            yield f"its repo {node.repo} does not exist"
        elif not node.parents and repo.root_version != version:
            yield "it has no parent and is not the root"
        for parent in node.parents:
            known = self.nodes.get(parent)
            if known is None:
                yield f"its parent, version {parent}, does not exist"
                continue
            if known.repo != node.repo:
                yield f"its parent {known.uuid} is a node of another repo"
            if parent >= version:
                yield f"its parent {known.uuid} has the higher version {parent}"
            if not known.locked:
                yield f"its parent {known.uuid} is open"
            if (parent, version) not in self.children:
                yield f"it is not listed as a child of its parent {known.uuid}"
        first = self.nodes.get(node.chain)
        if first is None or node.chain > version or first.chain != node.chain:
            yield f"version {node.chain} is not the first of its chain"
        for chain, last in node.base:
            if chain not in self.nodes or last not in self.nodes or last >= version:
                yield f"its past names the versions {chain} and {last}, of which one is not before it"
        if self.uuids.get(node.uuid) != version:
            yield "its UUID does not lead to it"
        if (node.repo, node.branch) not in self.branches:
            yield f"its branch {node.branch or MASTER!r} has no leaf"

    def _check_node_tables(self) -> Iterator[Problem]:
        for uuid, version in self.uuids.items():
            if version not in self.nodes or self.nodes[version].uuid != uuid:
                yield Problem(layout.UUID + uuid.encode(), f"version {version} is not the node of this UUID", "", uuid)
        continued = set()
        for parent, child in self.children:
            key = layout.CHILD + layout.pack_u32(parent) + layout.pack_u32(child)
            if parent not in self.nodes or child not in self.nodes or parent not in self.nodes[child].parents:
                yield Problem(key, f"version {child} is not a child of version {parent}")
            elif self.nodes[child].branch == self.nodes[parent].branch:
                continued.add(parent)
        for (repo, branch), version in self.branches.items():
            key = layout.BRANCH + layout.pack_u32(repo) + branch.encode()
            leaf, name = self.nodes.get(version), branch or MASTER
            if leaf is None:
                yield Problem(key, f"the leaf of branch {name!r}, version {version}, does not exist")
            elif leaf.repo != repo or leaf.branch != branch:
                yield Problem(key, f"version {version} is not on branch {name!r} of repo {repo}", "", leaf.uuid)
            elif version in continued:
                yield Problem(key, f"branch {name!r} goes on behind what is noted as its leaf", "", leaf.uuid)

    def _check_instances(self) -> Iterator[Problem]:
        for number, instance in self.instances.items():
            key = layout.INSTANCE + layout.pack_u32(number)
            if instance.number != number:
                yield Problem(key, f"the record of instance {number} says {instance.number}", instance.name)
            if instance.repo not in self.repos:
                yield Problem(key, f"its repo {instance.repo} does not exist", instance.name)
            if self.names.get((instance.repo, instance.name)) != number:
                yield Problem(key, f"its name {instance.name!r} does not lead to it", instance.name)
            if number in self.doomed:
                yield Problem(key, "it is marked as deleted, and has a record all the same", instance.name)
            for other in instance.syncs:
                if (instance.repo, other) not in self.names:
                    yield Problem(key, f"it is kept in step with {other!r}, which does not exist", instance.name)
        for (repo, name), number in self.names.items():
            known = self.instances.get(number)
            if known is None or (known.repo, known.name) != (repo, name):
                key = layout.NAME + layout.pack_u32(repo) + name.encode()
                yield Problem(key, f"instance {number} of repo {repo} is not named {name!r}", name)

    def _check_numbers(self) -> Iterator[Problem]:
        given: dict[str, set[int]] = {
            "repo": set(self.repos),
            "version": set(self.nodes),
            "instance": set(self.instances) | self.doomed,
        }
        for name, used in given.items():
            highest, noted = max(used, default=0), self.counters.get(name, 0)
            if noted < highest:
                yield Problem(layout.COUNTER + name.encode(), f"the last {name} is {highest}, and {noted} is noted")
        for key, which, number in self.owned:
            if number not in (self.repos if which == "repo" else self.nodes):
                yield Problem(key, f"it belongs to {which} {number}, which does not exist")


def read_inventory(snapshot: Snapshot) -> Inventory:
    """Read the system's tables of the store that holds the records."""
    return _read_system(snapshot, _READERS)


def read_side_tables(snapshot: Snapshot) -> Inventory:
    """Read what another store keeps beside the data of its instances: only `problems` and `entries` are filled."""
    return _read_system(snapshot, _SIDE_READERS)


def _read_system(snapshot: Snapshot, readers: Mapping[bytes, Reader]) -> Inventory:
    inventory = Inventory()
    for key, stored in snapshot.scan(layout.SYSTEM, layout.pack_u32(1)):
        inventory.entries += 1
        key = bytes(key)
        read = readers.get(key[:5])
        try:
            if read is None:
                raise CorruptValue(f"there is no table {key[4:5].hex()}")
            read(inventory, key, stored)
        except (DvidError, *BAD_DATA) as error:
            inventory.problems.append(Problem(key, str(error) or type(error).__name__))
    return inventory


# ---- one reader for each table ------------------------------------------------------------------


def _number(key: bytes, stored: memoryview) -> int:
    return layout.unpack_u64(unseal(key, stored).payload)


def _read_stamp(inventory: Inventory, key: bytes, stored: memoryview) -> None:
    if len(stored) != _STAMP_BYTES:
        raise CorruptValue(f"a stamp has {len(stored)} bytes, not {_STAMP_BYTES}")
    if len(key) > len(layout.STAMP):
        inventory.owned.append((key, "repo", layout.unpack_u32(key[5:])))


def _read_counter(inventory: Inventory, key: bytes, stored: memoryview) -> None:
    inventory.counters[key[5:].decode()] = _number(key, stored)


def _read_repo(inventory: Inventory, key: bytes, stored: memoryview) -> None:
    inventory.repos[layout.unpack_u32(key[5:])] = decode(unseal(key, stored).payload, RepoRecord)


def _read_node(inventory: Inventory, key: bytes, stored: memoryview) -> None:
    inventory.nodes[layout.unpack_u32(key[5:])] = decode(unseal(key, stored).payload, NodeRecord)


def _read_uuid(inventory: Inventory, key: bytes, stored: memoryview) -> None:
    inventory.uuids[key[5:].decode()] = _number(key, stored)


def _read_child(inventory: Inventory, key: bytes, _: memoryview) -> None:
    inventory.children.add((layout.unpack_u32(key[5:9]), layout.unpack_u32(key[9:])))


def _read_branch(inventory: Inventory, key: bytes, stored: memoryview) -> None:
    inventory.branches[layout.unpack_u32(key[5:9]), key[9:].decode()] = _number(key, stored)


def _read_instance(inventory: Inventory, key: bytes, stored: memoryview) -> None:
    inventory.instances[layout.unpack_u32(key[5:])] = decode(unseal(key, stored).payload, InstanceRecord)


def _read_name(inventory: Inventory, key: bytes, stored: memoryview) -> None:
    inventory.names[layout.unpack_u32(key[5:9]), key[9:].decode()] = _number(key, stored)


def _read_log(inventory: Inventory, key: bytes, stored: memoryview) -> None:
    bytes(unseal(key, stored).payload).decode()
    layout.unpack_u32(key[9:])
    which = "repo" if key.startswith(layout.REPO_LOG) else "version"
    inventory.owned.append((key, which, layout.unpack_u32(key[5:9])))


def _read_mutation(inventory: Inventory, key: bytes, stored: memoryview) -> None:
    _number(key, stored)
    inventory.owned.append((key, "repo", layout.unpack_u32(key[5:])))


def _read_epoch(_: Inventory, key: bytes, stored: memoryview) -> None:
    _number(key, stored)
    layout.unpack_u32(key[5:])


def _read_membership(_: Inventory, key: bytes, stored: memoryview) -> None:
    """Identity of the metadata store, in the other stores with their name behind it."""
    bytes(unseal(key, stored).payload)[16:].decode()


def _read_doomed(inventory: Inventory, key: bytes, stored: memoryview) -> None:
    doomed_store(key, stored)
    inventory.doomed.add(layout.unpack_u32(key[5:]))


def _read_reply(_: Inventory, key: bytes, stored: memoryview) -> None:
    decode(unseal(key, stored).payload, KeptReply)


def _read_reply_time(_: Inventory, key: bytes, __: memoryview) -> None:
    layout.unpack_u64(key[5:13])


def _read_busy(_: Inventory, key: bytes, stored: memoryview) -> None:
    if len(payload := unseal(key, stored).payload):
        raise CorruptValue(f"a mark of waiting work has {len(payload)} bytes of data")
    layout.unpack_u32(key[5:])


def _read_blob(_: Inventory, key: bytes, stored: memoryview) -> None:
    expand(unseal(key, stored), key)


_READERS: Final[dict[bytes, Reader]] = {
    layout.STAMP: _read_stamp,
    layout.REPO_STAMP: _read_stamp,
    layout.COUNTER: _read_counter,
    layout.REPO: _read_repo,
    layout.NODE: _read_node,
    layout.UUID: _read_uuid,
    layout.CHILD: _read_child,
    layout.BRANCH: _read_branch,
    layout.INSTANCE: _read_instance,
    layout.NAME: _read_name,
    layout.REPO_LOG: _read_log,
    layout.NODE_LOG: _read_log,
    layout.MUTATION: _read_mutation,
    layout.EPOCH: _read_epoch,
    layout.DOOMED: _read_doomed,
    layout.IDENTITY: _read_membership,
    layout.REPLY: _read_reply,
    layout.REPLY_TIME: _read_reply_time,
    layout.BUSY: _read_busy,
    layout.BLOB: _read_blob,
}
_SIDE_READERS: Final[dict[bytes, Reader]] = {
    layout.STAMP: _read_stamp,
    layout.REPO_STAMP: _read_stamp,
    layout.EPOCH: _read_epoch,
    layout.OWNER: _read_membership,
    layout.REPLY: _read_reply,
    layout.REPLY_TIME: _read_reply_time,
    layout.BUSY: _read_busy,
}
