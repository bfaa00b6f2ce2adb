"""What can be done to repos, their nodes and their instances: functions over a transaction."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid as uuids
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from dvid.errors import BadRequest, Conflict, Forbidden, LockedNode, UnknownInstance
from dvid.storage.protocol import Snapshot, Transaction
from dvid.versions import layout
from dvid.versions.catalogue import (
    MASTER,
    branch_key,
    name_key,
    put_number,
    read_instance,
    read_number,
    touch,
)
from dvid.versions.envelope import seal, unseal
from dvid.versions.lineage import Lineages, read_node
from dvid.versions.records import InstanceRecord, NodeRecord, RepoRecord, encode, now
from dvid.versions.stores import Choice
from dvid.versions.view import timestamp

SWEPT_AT_ONCE = 5_000
"""Entries of deleted instances that one transaction removes."""

_UUID = re.compile(r"[0-9a-f]{32}")


# ---- repos --------------------------------------------------------------------------------------


def create_repo(
    transaction: Transaction, *, alias: str = "", description: str = "", root: str | None = None, passcode: str = ""
) -> RepoRecord:
    """Make a repo with one open node, its root.

    Raises:
        BadRequest: `root` is not a UUID, or in use.
    """
    number = _next(transaction, "repo")
    node = _new_node(transaction, repo=number, uuid=root, parents=(), branch="", note="")
    record = RepoRecord(
        number=number,
        root_version=node.version,
        root_uuid=node.uuid,
        created=node.created,
        updated=node.created,
        alias=alias,
        description=description,
        passcode_hash=_hashed(passcode),
    )
    _put(transaction, layout.REPO + layout.pack_u32(number), record)
    touch(transaction, number)
    return record


def list_repos(snapshot: Snapshot) -> list[RepoRecord]:
    """All repos, oldest first."""
    entries = snapshot.scan(layout.REPO, layout.after(layout.REPO))
    return [msgspec.msgpack.decode(unseal(bytes(key), value).payload, type=RepoRecord) for key, value in entries]


def change_repo(
    transaction: Transaction, repo: RepoRecord, *, alias: str | None = None, description: str | None = None
) -> None:
    """Change what is said of a repo; None keeps what it was."""
    changed = msgspec.structs.replace(
        repo,
        alias=repo.alias if alias is None else alias,
        description=repo.description if description is None else description,
        updated=now(),
    )
    _put(transaction, layout.REPO + layout.pack_u32(repo.number), changed)
    touch(transaction, repo.number)


def delete_repo(transaction: Transaction, repo: RepoRecord, passcode: str) -> None:
    """Remove a repo with all its nodes and instances. Data is removed later, by `sweep`.

    Raises:
        Forbidden: the repo was made with another passcode.
    """
    _check_passcode(repo, passcode)
    for instance in list_instances(transaction, repo.number):
        delete_instance(transaction, instance)
    for node in list(list_nodes(transaction, repo)):  # all of them first: they are found through what is removed here
        version = layout.pack_u32(node.version)
        transaction.delete(layout.NODE + version)
        transaction.delete(layout.UUID + node.uuid.encode())
        for prefix in (layout.CHILD + version, layout.NODE_LOG + version):
            transaction.delete_range(prefix, layout.after(prefix))
    number = layout.pack_u32(repo.number)
    for prefix in (layout.BRANCH + number, layout.REPO_LOG + number):
        transaction.delete_range(prefix, layout.after(prefix))
    for key in (layout.REPO, layout.MUTATION):
        transaction.delete(key + number)
    touch(transaction, repo.number)
    transaction.delete(layout.REPO_STAMP + number)


def _hashed(passcode: str) -> str:
    return hashlib.sha256(passcode.encode()).hexdigest() if passcode else ""


def _check_passcode(repo: RepoRecord, passcode: str) -> None:
    if repo.passcode_hash and not hmac.compare_digest(repo.passcode_hash, _hashed(passcode)):
        raise Forbidden(f"repo {repo.root_uuid} is guarded by a passcode, and the one given is not it")


# ---- nodes --------------------------------------------------------------------------------------


def list_nodes(snapshot: Snapshot, repo: RepoRecord) -> Iterator[NodeRecord]:
    """The nodes of a repo, from the root down; each once."""
    waiting, seen = [repo.root_version], {repo.root_version}
    while waiting:
        node = read_node(snapshot, waiting.pop())
        yield node
        fresh = [child for child in children(snapshot, node.version) if child not in seen]
        seen.update(fresh)
        waiting.extend(reversed(fresh))


def children(snapshot: Snapshot, version: int) -> list[int]:
    """The versions made from this one, oldest first."""
    prefix = layout.CHILD + layout.pack_u32(version)
    return [layout.unpack_u32(bytes(key)[-4:]) for key, _ in snapshot.scan(prefix, layout.after(prefix))]


def commit(transaction: Transaction, node: NodeRecord, *, note: str = "", log: Sequence[str] = ()) -> None:
    """Lock a node: it can be read and built upon, and not changed any more.

    Raises:
        LockedNode: it is locked already.
    """
    if node.locked:
        raise LockedNode(f"node {node.uuid} is committed already")
    append_log(transaction, node, log)
    _replace_node(transaction, node, locked=True, note=note or node.note)


def new_version(transaction: Transaction, parent: NodeRecord, *, note: str = "", uuid: str | None = None) -> NodeRecord:
    """Make an open child of a committed node, on the same branch.

    Raises:
        BadRequest: the node is open, or its branch goes on in another child.
    """
    for child in children(transaction, parent.version):
        if read_node(transaction, child).branch == parent.branch:
            raise BadRequest(
                f"branch {parent.branch or MASTER!r} goes on from node {parent.uuid} in another child: "
                "POST .../branch makes a child on a branch of its own"
            )
    return _add_child(transaction, parent, branch=parent.branch, note=note, uuid=uuid)


def branch(
    transaction: Transaction, parent: NodeRecord, *, name: str, note: str = "", uuid: str | None = None
) -> NodeRecord:
    """Make an open child of a committed node, the first of a new branch.

    Raises:
        BadRequest: the node is open, or the repo has a branch of that name.
    """
    if not name:
        raise BadRequest('a branch needs a name: {"branch": "some name"}')
    if len(name.encode(errors="replace")) > 200 or not name.isprintable() or any(c in ":~/?#%" for c in name):
        raise BadRequest(
            f"{name!r} cannot be the name of a branch: use at most 200 printable characters other than : ~ / ? # %"
        )
    if name == MASTER or transaction.get(branch_key(parent.repo, name)) is not None:
        raise BadRequest(f"the repo has a branch named {name!r} already")
    return _add_child(transaction, parent, branch=name, note=note, uuid=uuid)


def tag(transaction: Transaction, parent: NodeRecord, *, name: str) -> NodeRecord:
    """Give a committed node a name: a committed child whose UUID is that name, unique in the store.

    Raises:
        BadRequest: the node is open, or the name is in use.
    """
    if (
        not name
        or len(name.encode(errors="replace")) > 200
        or not name.isprintable()
        or any(c in ":~/?#% " for c in name)
    ):
        raise BadRequest(
            f"{name!r} cannot be a tag: use 1 to 200 printable characters other than : ~ / ? # % and spaces"
        )
    if transaction.get(branch_key(parent.repo, f"tag-{name}")) is not None:
        raise BadRequest(f"the repo has a branch named 'tag-{name}', which the tag would be on")
    note = f'Tag of version {parent.uuid} with "{name}"'
    child = _add_child(transaction, parent, branch=f"tag-{name}", note=note, uuid=name, any_uuid=True)
    _replace_node(transaction, child, locked=True)
    return child


def merge(transaction: Transaction, lineages: Lineages, parents: Sequence[NodeRecord], *, note: str = "") -> NodeRecord:
    """Make an open node that descends from several committed ones.

    Keys that the parents hold differently are found when they are read (MergeConflict), not now.

    Raises:
        BadRequest: fewer than two parents, parents of different repos, or an open one.
    """
    if len({parent.version for parent in parents}) < 2:
        raise BadRequest(f"a merge needs at least two different parents; {len(parents)} given")
    if len({parent.repo for parent in parents}) > 1:
        raise BadRequest("the parents of a merge must be nodes of one repo")
    for parent in parents:
        _must_be_locked(parent)
    base: dict[int, int] = {}
    for parent in parents:
        for chain, last in lineages.of(transaction, parent.version).extent().items():
            base[chain] = max(last, base.get(chain, -1))
    child = _new_node(
        transaction,
        repo=parents[0].repo,
        uuid=None,
        parents=tuple(parent.version for parent in parents),
        branch="",
        note=note,
        base=tuple(sorted(base.items())),
        merged=True,
    )
    touch(transaction, child.repo)
    return child


def branch_versions(snapshot: Snapshot, repo: int, name: str) -> list[NodeRecord]:
    """The nodes from the leaf of a branch back to the root of the repo; empty for an unknown branch."""
    version = read_number(snapshot, branch_key(repo, name))
    nodes = []
    while version is not None:
        nodes.append(read_node(snapshot, version))
        version = nodes[-1].parents[0] if nodes[-1].parents else None
    return nodes


def set_note(transaction: Transaction, node: NodeRecord, note: str, *, unlocked: bool = False) -> None:
    """Replace what is said of a node."""
    _must_be_open(node, unlocked)
    _replace_node(transaction, node, note=note)


def add_to_log(transaction: Transaction, node: NodeRecord, lines: Sequence[str], *, unlocked: bool = False) -> None:
    """Append to the log of a node."""
    _must_be_open(node, unlocked)
    append_log(transaction, node, lines)
    touch(transaction, node.repo)


def append_log(transaction: Transaction, owner: NodeRecord | RepoRecord, lines: Iterable[str]) -> None:
    """Append lines to the log of a node or repo, each with the time before it."""
    prefix = _log_prefix(owner)
    last = next(iter(transaction.scan(prefix, layout.after(prefix), reverse=True)), None)
    first = 0 if last is None else layout.unpack_u32(bytes(last.key)[-4:]) + 1
    for number, line in enumerate(lines, first):
        key = prefix + layout.pack_u32(number)
        transaction.put(key, seal(key, f"{timestamp()}  {line}".encode()))


def read_log(snapshot: Snapshot, owner: NodeRecord | RepoRecord) -> list[str]:
    """The log of a node or repo."""
    prefix = _log_prefix(owner)
    entries = snapshot.scan(prefix, layout.after(prefix))
    return [bytes(unseal(bytes(key), value).payload).decode() for key, value in entries]


def log_repo(transaction: Transaction, repo: RepoRecord, lines: Sequence[str]) -> None:
    """Append to the log of a repo."""
    append_log(transaction, repo, lines)
    touch(transaction, repo.number)


def _log_prefix(owner: NodeRecord | RepoRecord) -> bytes:
    if isinstance(owner, RepoRecord):
        return layout.REPO_LOG + layout.pack_u32(owner.number)
    return layout.NODE_LOG + layout.pack_u32(owner.version)


def _add_child(
    transaction: Transaction, parent: NodeRecord, *, branch: str, note: str, uuid: str | None, any_uuid: bool = False
) -> NodeRecord:
    _must_be_locked(parent)
    # A chain goes on in one child only; any other child begins a chain of its own, whose base is the parent's past.
    goes_on = branch == parent.branch
    base: tuple[tuple[int, int], ...] = ()
    if not goes_on:
        first = read_node(transaction, parent.chain)
        base = (*((chain, last) for chain, last in first.base if chain != parent.chain), (parent.chain, parent.version))
    child = _new_node(
        transaction,
        repo=parent.repo,
        uuid=uuid,
        parents=(parent.version,),
        branch=branch,
        note=note,
        chain=parent.chain if goes_on else None,
        base=base,
        merged=parent.merged,
        any_uuid=any_uuid,
    )
    _replace_node(transaction, parent)
    return child


def _new_node(
    transaction: Transaction,
    *,
    repo: int,
    uuid: str | None,
    parents: tuple[int, ...],
    branch: str,
    note: str,
    chain: int | None = None,
    base: tuple[tuple[int, int], ...] = (),
    merged: bool = False,
    any_uuid: bool = False,
) -> NodeRecord:
    if uuid is None:
        uuid = uuids.uuid4().hex
    elif not any_uuid and not _UUID.fullmatch(uuid):
        raise BadRequest(f"{uuid!r} is not a UUID: 32 hexadecimal digits in lower case are")
    uuid_key = layout.UUID + uuid.encode()
    if transaction.get(uuid_key) is not None:
        raise BadRequest(f"the UUID or tag {uuid!r} is in use")
    version, time = _next(transaction, "version"), now()
    node = NodeRecord(
        version=version,
        uuid=uuid,
        repo=repo,
        chain=version if chain is None else chain,
        created=time,
        updated=time,
        parents=parents,
        branch=branch,
        note=note,
        base=base,
        merged=merged,
    )
    _put(transaction, layout.NODE + layout.pack_u32(version), node)
    put_number(transaction, uuid_key, version)
    for parent in parents:
        transaction.put(layout.CHILD + layout.pack_u32(parent) + layout.pack_u32(version), b"")
    leaf = branch_key(repo, branch)
    known = read_number(transaction, leaf)
    if known is None or known in parents:
        put_number(transaction, leaf, version)
    return node


def _replace_node(transaction: Transaction, node: NodeRecord, **changes: Any) -> None:
    changed = msgspec.structs.replace(node, updated=now(), **changes)
    _put(transaction, layout.NODE + layout.pack_u32(node.version), changed)
    touch(transaction, node.repo)


def _must_be_locked(node: NodeRecord) -> None:
    if not node.locked:
        raise BadRequest(f"node {node.uuid} is open: commit it (POST .../commit) before building on it")


def _must_be_open(node: NodeRecord, unlocked: bool) -> None:
    if node.locked and not unlocked:
        raise LockedNode(f"node {node.uuid} is committed: its note and log can no longer be changed")


# ---- instances ----------------------------------------------------------------------------------


def create_instance(
    transaction: Transaction,
    node: NodeRecord,
    *,
    name: str,
    typename: str,
    settings: Mapping[str, Any],
    compression: str = "lz4",
    versioned: bool = True,
    tags: Mapping[str, str] | None = None,
    choose: Choice | None = None,
) -> InstanceRecord:
    """Make a data instance, on an open node of a repo. It can then be used at every node of the repo.

    `choose` names the store that holds its data, for good; without it, it is the metadata store.

    Raises:
        LockedNode: the node is committed.
        BadRequest: the repo has an instance of that name, or the name cannot be one.
    """
    key = name_key(node.repo, name)
    if node.locked:
        raise LockedNode(f"node {node.uuid} is committed: make data instances on an open node")
    if transaction.get(key) is not None:
        raise BadRequest(f"the repo has a data instance named {name!r} already")
    data_uuid = uuids.uuid4().hex
    store = ""
    if choose is not None:
        store = choose(name=name, typename=typename, root_uuid=node.uuid, data_uuid=data_uuid, tags=tags)
    record = InstanceRecord(
        number=_next(transaction, "instance"),
        name=name,
        typename=typename,
        data_uuid=data_uuid,
        repo=node.repo,
        created_version=node.version,
        created_uuid=node.uuid,
        compression=compression,
        versioned=versioned,
        tags=None if tags is None else dict(tags),
        settings=dict(settings),
        store=store,
    )
    _put(transaction, layout.INSTANCE + layout.pack_u32(record.number), record)
    put_number(transaction, key, record.number)
    touch(transaction, node.repo)
    return record


def list_instances(snapshot: Snapshot, repo: int) -> list[InstanceRecord]:
    """The instances of a repo, by name."""
    prefix = layout.NAME + layout.pack_u32(repo)
    numbers = [
        int.from_bytes(unseal(bytes(key), value).payload, "big")
        for key, value in snapshot.scan(prefix, layout.after(prefix))
    ]
    return [read_instance(snapshot, number) for number in numbers]


def change_instance(transaction: Transaction, instance: InstanceRecord, **changes: Any) -> InstanceRecord:
    """Replace fields of an instance's record (tags, syncs, settings)."""
    changed: InstanceRecord = msgspec.structs.replace(instance, **changes)
    _put(transaction, layout.INSTANCE + layout.pack_u32(instance.number), changed)
    touch(transaction, instance.repo)
    return changed


def rename_instance(transaction: Transaction, instance: InstanceRecord, name: str) -> InstanceRecord:
    """Give an instance another name; instances synced with it follow.

    Raises:
        BadRequest: the name is in use or cannot be one.
    """
    key = name_key(instance.repo, name)
    if transaction.get(key) is not None:
        raise BadRequest(f"the repo has a data instance named {name!r} already")
    transaction.delete(name_key(instance.repo, instance.name))
    put_number(transaction, key, instance.number)
    renamed = change_instance(transaction, instance, name=name)
    for other in list_instances(transaction, instance.repo):
        if instance.name in other.syncs:
            syncs = tuple(name if sync == instance.name else sync for sync in other.syncs)
            change_instance(transaction, other, syncs=syncs)
    return renamed


def delete_instance(transaction: Transaction, instance: InstanceRecord) -> None:
    """Remove an instance: it is gone at once, its data when `sweep` comes by."""
    transaction.delete(name_key(instance.repo, instance.name))
    transaction.delete(layout.INSTANCE + layout.pack_u32(instance.number))
    mark = layout.DOOMED + layout.pack_u32(instance.number)
    transaction.put(mark, seal(mark, instance.store.encode()) if instance.store else b"")
    for other in list_instances(transaction, instance.repo):
        if instance.name in other.syncs:
            change_instance(transaction, other, syncs=tuple(sync for sync in other.syncs if sync != instance.name))
    touch(transaction, instance.repo)


def sync_instance(transaction: Transaction, instance: InstanceRecord, names: Sequence[str], *, replace: bool) -> None:
    """Name the instances that this one is kept in step with.

    Raises:
        UnknownInstance: the repo has no instance of such a name.
    """
    for name in names:
        if read_number(transaction, name_key(instance.repo, name)) is None:
            raise UnknownInstance(f"the repo has no data instance named {name!r} to sync with")
    before = () if replace else instance.syncs
    change_instance(transaction, instance, syncs=tuple(dict.fromkeys((*before, *names))))


def doomed(snapshot: Snapshot) -> Iterator[tuple[int, str]]:
    """The deleted instances whose data is still there: their numbers, and the stores that hold it."""
    for key, stored in snapshot.scan(layout.DOOMED, layout.after(layout.DOOMED)):
        yield layout.unpack_u32(key[-4:]), doomed_store(key, stored)


def doomed_store(key: bytes, stored: memoryview) -> str:
    """What an entry of the deleted instances says of the store."""
    return bytes(unseal(key, stored).payload).decode() if len(stored) else ""


def sweep(transaction: Transaction, limit: int = SWEPT_AT_ONCE) -> int:
    """Remove data of instances deleted from this store, at most `limit` entries; how many. 0: there is no more."""
    instance = next((number for number, store in doomed(transaction) if not store), None)
    if instance is None:
        return 0
    removed = erase(transaction, instance, limit)
    if removed < limit:
        forget(transaction, instance)
        removed += 1
    return removed


def erase(transaction: Transaction, instance: int, limit: int = SWEPT_AT_ONCE) -> int:
    """Remove data of an instance, at most `limit` entries; how many: fewer than `limit` if that was all."""
    prefix = layout.pack_u32(instance)
    transaction.delete(layout.EPOCH + prefix)
    return transaction.delete_range(prefix, layout.after(prefix), limit)


def forget(transaction: Transaction, instance: int) -> None:
    """Note that all data of a deleted instance is gone."""
    transaction.delete(layout.DOOMED + layout.pack_u32(instance))


# ---- helpers ------------------------------------------------------------------------------------


def _next(transaction: Transaction, name: str) -> int:
    """The next number of a kind; numbers begin at 1 and are never used again."""
    key = layout.COUNTER + name.encode()
    number = (read_number(transaction, key) or 0) + 1
    if number >= layout.NEWEST:
        raise Conflict(f"the store has used up its {name} numbers")
    put_number(transaction, key, number)
    return number


def _put(transaction: Transaction, key: bytes, record: msgspec.Struct) -> None:
    transaction.put(key, seal(key, encode(record)))
