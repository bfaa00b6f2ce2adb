"""Merging versions that disagree: of different values of one key, that of the parent named first is taken."""

from __future__ import annotations

from collections.abc import Sequence

from dvid.errors import BadRequest, MergeConflict
from dvid.storage.protocol import Transaction
from dvid.versions import nodes
from dvid.versions.catalogue import Directory, Node
from dvid.versions.edit import Edit
from dvid.versions.envelope import Format
from dvid.versions.records import InstanceRecord, NodeRecord
from dvid.versions.view import Conflict


def resolve(
    transaction: Transaction,
    directory: Directory,
    parents: Sequence[NodeRecord],
    instances: Sequence[InstanceRecord],
    *,
    note: str = "",
    user: str = "",
    app: str = "",
) -> NodeRecord:
    """Make an open node that descends from several committed ones, without conflicts in the given instances.

    Each key whose value the parents disagree about is written at the new node, as the first of the disagreeing
    parents has it; where that parent has deleted the key, it is deleted. All keys of the instances are looked at.

    Args:
        transaction: in which; it holds up other writers until all keys have been looked at.
        directory: the directory of the transaction.
        parents: in the order of their priority.
        instances: whose conflicts are resolved; those of others stay.
        note: what is said of the new node.
        user: who does it, for the mutation log.
        app: with which program, for the mutation log.

    Raises:
        BadRequest: as `nodes.merge`, or no instance is given, or the data of one is in another store than its record.
        MergeConflict: a parent is in conflict itself.
    """
    if not instances:
        raise BadRequest("name at least one data instance whose conflicts are to be resolved")
    elsewhere = [instance.name for instance in instances if instance.store]
    if elsewhere:
        raise BadRequest(
            f"conflicts of {', '.join(map(repr, elsewhere))} cannot be resolved in one step with the merge: the data is "
            "in a store of its own; merge without resolving, and write the keys in conflict anew"
        )
    child = nodes.merge(transaction, directory.lineages, parents, note=note)
    node = directory.version(transaction, child.version)
    pasts = [directory.version(transaction, parent.version) for parent in parents]
    for instance in instances:
        if instance.versioned:
            edit = Edit(transaction, directory, node, instance, user=user, app=app)
            decided = 0
            for conflict in edit.conflicts():
                _write(edit, conflict, _first(edit, conflict, directory, pasts))
                decided += 1
            if decided:
                edit.log("resolve", {"Parents": [parent.uuid for parent in parents], "Keys": decided})
    return child


def _first(edit: Edit, conflict: Conflict, directory: Directory, parents: Sequence[Node]) -> int:
    """Which of the values in conflict the first of the disagreeing parents holds."""
    for parent in parents:
        held = [
            i
            for i, version in enumerate(conflict.versions)
            if directory.lineages.sees(edit.snapshot, parent.lineage, version)
        ]
        if len(held) > 1:
            raise MergeConflict(
                f"instance {edit.instance.name!r}: parent {parent.record.uuid} inherits different values of one key "
                "itself: resolve its own merge first"
            )
        if held:
            return held[0]
    raise AssertionError("a value that a merged node inherits is held by one of its parents")


def _write(edit: Edit, conflict: Conflict, chosen: int) -> None:
    value = conflict.values[chosen]
    if value.format == Format.TOMBSTONE:
        edit.bury(conflict.table, conflict.key)
    else:  # a copy: views into the store end with the next write
        edit.put(conflict.table, conflict.key, bytes(value.payload), Format(value.format))
