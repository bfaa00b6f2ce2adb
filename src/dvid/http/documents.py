"""The JSON documents that describe repos, in the layout of the reference server.

They are made when something changed and kept until the repo's stamp changes: a repo with a thousand versions is
described in hundreds of kilobytes, and clients ask often.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from dvid.datatypes.base import describe, describe_record
from dvid.errors import StoreAbsent
from dvid.versions import instances, layout, logs, nodes, repos
from dvid.versions.catalogue import Directory, Node, branch_key, read_number
from dvid.versions.edit import FIRST_MUTATION
from dvid.versions.records import InstanceRecord, RepoRecord
from dvid.versions.stores import Snapshots
from dvid.versions.view import View

_encode = msgspec.json.Encoder().encode
_lock = threading.Lock()
_Stamps = tuple[bytes, ...]
_kept: dict[tuple[str, int], tuple[_Stamps, bytes]] = {}  # (root uuid, repo) -> its stamp in each store, document
_kept_all: list[tuple[_Stamps, bytes]] = []  # the newest: stamp of each store, document


def _stamps(snapshots: Snapshots, key: bytes) -> _Stamps:
    found = [snapshot.get(key) for snapshot in snapshots.all()]
    return tuple([b"" if stamp is None else bytes(stamp) for stamp in found])


def one_repo(snapshots: Snapshots, directory: Directory, number: int) -> bytes:
    """All about a repo, as JSON."""
    repo = directory.repo(snapshots.metadata, number)
    stamps = _stamps(snapshots, layout.REPO_STAMP + layout.pack_u32(number))
    kept = _kept.get((repo.root_uuid, number))
    if kept is None or kept[0] != stamps:
        kept = stamps, _encode(_describe_repo(snapshots, directory, repo))
        with _lock:
            if len(_kept) > 1000:
                _kept.clear()
            _kept[repo.root_uuid, number] = kept
    return kept[1]


def all_repos(snapshots: Snapshots, directory: Directory) -> bytes:
    """All about all repos, as JSON."""
    stamps = _stamps(snapshots, layout.STAMP)
    newest = _kept_all[0] if _kept_all else None
    if newest is None or newest[0] != stamps:
        parts = [
            f'"{repo.root_uuid}":'.encode() + one_repo(snapshots, directory, repo.number)
            for repo in repos.list_repos(snapshots.metadata)
        ]
        newest = stamps, b"{" + b",".join(parts) + b"}"
        _kept_all[:] = [newest]
    return newest[1]


def _describe_repo(snapshots: Snapshots, directory: Directory, repo: RepoRecord) -> dict[str, Any]:
    snapshot = snapshots.metadata
    leaf = read_number(snapshot, branch_key(repo.number, "")) or repo.root_version
    node = directory.version(snapshot, leaf)
    records = list(nodes.list_nodes(snapshot, repo))
    mutation = read_number(snapshot, layout.MUTATION + layout.pack_u32(repo.number))
    next_mutation = FIRST_MUTATION if mutation is None else mutation + 1
    return {
        "Root": repo.root_uuid,
        "Alias": repo.alias,
        "Description": repo.description,
        "Log": logs.read_log(snapshot, repo),
        "Properties": repo.properties,
        "DataInstances": {
            instance.name: _describe_instance(snapshots, directory, node, instance)
            for instance in instances.list_instances(snapshot, repo.number)
        },
        "DAG": {
            "Root": repo.root_uuid,
            "Nodes": {
                record.uuid: {
                    "Branch": record.branch,
                    "Note": record.note,
                    "Log": logs.read_log(snapshot, record),
                    "UUID": record.uuid,
                    "VersionID": record.version,
                    "Locked": record.locked,
                    "Parents": list(record.parents),
                    "Children": nodes.children(snapshot, record.version),
                    "Created": record.created,
                    "Updated": record.updated,
                }
                for record in records
            },
        },
        "MutationID": next_mutation,
        "SavedMutationID": next_mutation,
        "Created": repo.created,
        "Updated": repo.updated,
    }


def _describe_instance(
    snapshots: Snapshots, directory: Directory, node: Node, instance: InstanceRecord
) -> dict[str, Any]:
    try:
        snapshot = snapshots.of(instance)
    except StoreAbsent:  # one store that is missing does not hide all the rest
        return {**describe_record(instance), "Extended": {}}
    return describe(View(snapshot, directory, node, instance, snapshots))
