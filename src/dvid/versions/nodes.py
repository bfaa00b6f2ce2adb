"""The nodes of a repo's version DAG: functions over a transaction that make, lock, name and describe them."""

from __future__ import annotations

import re
import uuid as uuids
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from dvid.errors import BadRequest, LockedNode
from dvid.storage.protocol import Snapshot, Transaction
from dvid.versions import layout
from dvid.versions.catalogue import MASTER, branch_key, put_number, read_number, touch
from dvid.versions.lineage import Lineages, read_node
from dvid.versions.logs import append_log, delete_log
from dvid.versions.metadata import next_number, put_record
from dvid.versions.records import NodeRecord, RepoRecord, now

_UUID = re.compile(r"[0-9a-f]{32}")


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


def branch_versions(snapshot: Snapshot, repo: int, name: str) -> list[NodeRecord]:
    """The nodes from the leaf of a branch back to the root of the repo; empty for an unknown branch."""
    version = read_number(snapshot, branch_key(repo, name))
    nodes = []
    while version is not None:
        nodes.append(read_node(snapshot, version))
        version = nodes[-1].parents[0] if nodes[-1].parents else None
    return nodes


def new_root(transaction: Transaction, repo: int, *, uuid: str | None = None) -> NodeRecord:
    """Make the open node that a new repo begins with.

    Raises:
        BadRequest: `uuid` is not a UUID, or in use.
    """
    return _new_node(transaction, repo=repo, uuid=uuid, parents=(), branch="", note="")


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


def commit(transaction: Transaction, node: NodeRecord, *, note: str = "", log: Sequence[str] = ()) -> None:
    """Lock a node: it can be read and built upon, and not changed any more.

    Raises:
        LockedNode: it is locked already.
    """
    if node.locked:
        raise LockedNode(f"node {node.uuid} is committed already")
    append_log(transaction, node, log)
    _replace_node(transaction, node, locked=True, note=note or node.note)


def set_note(transaction: Transaction, node: NodeRecord, note: str, *, unlocked: bool = False) -> None:
    """Replace what is said of a node."""
    _must_be_open(node, unlocked)
    _replace_node(transaction, node, note=note)


def add_to_log(transaction: Transaction, node: NodeRecord, lines: Sequence[str], *, unlocked: bool = False) -> None:
    """Append to the log of a node."""
    _must_be_open(node, unlocked)
    append_log(transaction, node, lines)
    touch(transaction, node.repo)


def delete_nodes(transaction: Transaction, repo: RepoRecord) -> None:
    """Remove all nodes of a repo, with their names, logs and branches."""
    for node in list(list_nodes(transaction, repo)):  # all of them first: they are found through what is removed here
        version = layout.pack_u32(node.version)
        transaction.delete(layout.NODE + version)
        transaction.delete(layout.UUID + node.uuid.encode())
        transaction.delete_range(layout.CHILD + version, layout.after(layout.CHILD + version))
        delete_log(transaction, node)
    branches = layout.BRANCH + layout.pack_u32(repo.number)
    transaction.delete_range(branches, layout.after(branches))


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
    version, time = next_number(transaction, "version"), now()
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
    put_record(transaction, layout.NODE + layout.pack_u32(version), node)
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
    put_record(transaction, layout.NODE + layout.pack_u32(node.version), changed)
    touch(transaction, node.repo)


def _must_be_locked(node: NodeRecord) -> None:
    if not node.locked:
        raise BadRequest(f"node {node.uuid} is open: commit it (POST .../commit) before building on it")


def _must_be_open(node: NodeRecord, unlocked: bool) -> None:
    if node.locked and not unlocked:
        raise LockedNode(f"node {node.uuid} is committed: its note and log can no longer be changed")
